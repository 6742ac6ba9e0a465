"""A choice stays in the address when a run begins with an older one.

Runs of these tests carry the address as it was before the choice, which a browser does now and
then.
"""

import pytest
from streamlit.testing.v1 import AppTest

from circuit_sparsity.tasks import TASKS
from tests.ui.conftest import QUERY


@pytest.fixture
def page(open_app):
    return open_app("tokens", **QUERY)


def said(app: AppTest, key: str) -> list[str]:
    asked = app.query_params.get(key, [])
    return [asked] if isinstance(asked, str) else list(asked)


def test_what_is_chosen_is_in_the_address(page):
    page.segmented_control(key="token_source").set_value("Your text")
    assert said(page.run(), "token_source") == ["Your text"]


def test_what_was_chosen_since_replaces_what_the_address_had(page):
    for share in ("1%", "10%"):
        page.segmented_control(key="token_quantile").set_value(share)
        assert said(page.run(), "token_quantile") == [share]


def test_a_switch_is_in_the_address(page):
    page.toggle(key="token_live").set_value(True)
    assert said(page.run(), "token_live") == ["true"]


def test_a_number_and_a_name_are_in_the_address(open_app):
    app = open_app("tasks", model="starter")
    name = list(TASKS)[3]
    app.selectbox(key="shown_task").set_value(name)
    assert said(app.run(), "shown_task") == [name]


def test_a_default_stays_out_of_it(page):
    assert said(page.run(), "token_source") == said(page, "token_live") == []


def test_what_went_back_to_its_default_is_not_left_in_it(open_app):
    app = open_app("tokens", **QUERY, token_live="true")
    app.toggle(key="token_live").set_value(False)
    assert said(app.run(), "token_live") == []


def test_a_link_wins_over_what_was_chosen_on_another_page(page):
    page.segmented_control(key="token_quantile").set_value("10%")
    page.run()
    page.switch_page("pages/weights.py").run()
    page.query_params["token_quantile"] = "50%"
    page.switch_page("pages/tokens.py").run()
    assert page.segmented_control(key="token_quantile").value == "50%"
    assert said(page, "token_quantile") == ["50%"]


def words(app: AppTest) -> list[str]:
    return [part.value.replace("\\", "") for part in app.warning if "The link asks" in part.value]


def test_what_a_link_asks_for_and_is_not_offered_is_said(open_app):
    app = open_app("tokens", **QUERY, token_quantile="3%", token_live="true")
    (warning,) = words(app)
    assert "`token_quantile` “3%”" in warning
    assert "this is “0.1%”" in warning
    assert "token_live" not in warning
    app.toggle(key="token_live").set_value(False)
    assert words(app.run()) == [warning]  # still so
    app.segmented_control(key="token_quantile").set_value("1%")
    assert words(app.run()) == []


def test_a_number_out_of_range_is_said(open_app):
    (warning,) = words(open_app(None, **QUERY, colour="activation on a prompt", colour_pair="999"))
    assert "“999”" in warning


@pytest.mark.parametrize("live", ["true", "True", "TRUE"])
def test_a_link_that_is_understood_brings_no_words(open_app, live):
    assert words(open_app("tokens", **QUERY, token_live=live, token_quantile="50%")) == []
