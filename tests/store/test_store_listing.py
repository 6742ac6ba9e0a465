"""Lists that a service could send, kind and unkind."""

import pytest

from circuit_sparsity.store import NotListable
from circuit_sparsity.store.catalogue import Blob
from circuit_sparsity.store.http_source import list_all, read_page

# As Azure sends it: a byte-order mark, quotes left out of the ETag, MD5 not everywhere.
AZURE = """\ufeff<?xml version="1.0" encoding="utf-8"?>
<EnumerationResults ServiceEndpoint="https://x/" ContainerName="c"><Prefix>models/</Prefix><Blobs>
<Blob><Name>models/m/final_model.pt</Name><Properties><Creation-Time>x</Creation-Time>
<Etag>0x8DC0</Etag><Content-Length>642319670</Content-Length>
<Content-MD5>Q2hlY2sgSW50ZWdyaXR5IQ==</Content-MD5></Properties><OrMetadata /></Blob>
<Blob><Name Encoded="true">models/m/%EF%BF%BE</Name><Properties/></Blob>
<BlobPrefix><Name>models/n/</Name></BlobPrefix>
</Blobs><NextMarker>2!92!MDAw</NextMarker></EnumerationResults>""".encode()

BOMB = b"""<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<EnumerationResults><Blobs><Blob><Name>&b;</Name></Blob></Blobs></EnumerationResults>"""

THIEF = b"""<!DOCTYPE x [<!ENTITY file SYSTEM "file:///etc/passwd">]>
<EnumerationResults><Blobs><Blob><Name>&file;</Name></Blob></Blobs></EnumerationResults>"""


def test_a_page_of_azure_is_read_whole() -> None:
    page = read_page(AZURE)
    assert page.blobs == (
        ("models/m/final_model.pt", Blob(642_319_670, "0x8DC0", "Q2hlY2sgSW50ZWdyaXR5IQ==")),
        ("models/m/\ufffe", Blob(None)),
    )
    assert page.folders == ("models/n/",)
    assert page.next_marker == "2!92!MDAw"


@pytest.mark.parametrize("xml", [BOMB, THIEF, b"<a>", b"", b"<html/>", b"\xff\xfe\x00"])
def test_xml_with_tricks_is_no_list(xml: bytes) -> None:
    with pytest.raises(NotListable, match="is no list"):
        read_page(xml)


def test_a_list_that_goes_round_in_circles_ends() -> None:
    page = b"<EnumerationResults><Blobs/><NextMarker>again</NextMarker></EnumerationResults>"
    with pytest.raises(NotListable, match="goes round in circles"):
        list_all(lambda prefix, marker: page)


def test_the_list_is_asked_for_by_the_prefixes_of_the_layout_only() -> None:
    asked = []

    def page_of(prefix: str, marker: str) -> bytes:
        asked.append(prefix)
        return b"<EnumerationResults><Blobs/></EnumerationResults>"

    assert list_all(page_of) == ({}, 0)
    assert asked == ["models/", "viz/", "train_curves/", "tinypython/"]
