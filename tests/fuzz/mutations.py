"""Seeded ways in which a file goes wrong: bits, spans, ends, and for JSON a value or a key."""

import json
import random
from typing import Any

STRANGE: tuple[Any, ...] = (
    None, True, -1, 0, 2**70, 1e308, -2048, 10**7, "", "x", "\u202e<b>", [], {}, [None], {"a": []},
)  # fmt: skip


def mutated(data: bytes, chance: random.Random, is_json: bool) -> bytes:
    """`data` with one to three changes."""
    for _ in range(chance.randint(1, 3)):
        if is_json and chance.random() < 0.6:
            data = _json_changed(data, chance)
        else:
            data = _bytes_changed(data, chance)
    return data


def _bytes_changed(data: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(data) + 1)
    end = min(len(data), start + chance.choice((1, 1, 4, 100, 10_000)))
    kind = chance.choice(("bit", "bit", "noise", "drop", "double", "insert", "zero", "cut", "grow"))
    if kind == "bit" and start < len(data):
        flipped = data[start] ^ (1 << chance.randrange(8))
        return data[:start] + bytes([flipped]) + data[start + 1 :]
    span = {
        "noise": chance.randbytes(end - start),
        "drop": b"",
        "double": data[start:end] * 2,
        "insert": chance.randbytes(chance.choice((1, 8, 500))) + data[start:end],
        "zero": bytes(end - start),
    }.get(kind)
    if span is not None:
        return data[:start] + span + data[end:]
    return data[:start] if kind == "cut" else data + chance.randbytes(100)


def _json_changed(data: bytes, chance: random.Random) -> bytes:
    """One value of a JSON text replaced, or a key left out, added or written twice."""
    try:
        root = json.loads(data)
    except (ValueError, RecursionError):
        return _bytes_changed(data, chance)
    places: list[tuple[Any, Any]] = []
    waiting = [root]
    while waiting:
        value = waiting.pop()
        inner = value.items() if isinstance(value, dict) else ()
        inner = enumerate(value) if isinstance(value, list) else inner
        for key, one in inner:
            places.append((value, key))
            waiting.append(one)
    if not places or chance.random() < 0.02:
        return json.dumps(chance.choice(STRANGE)).encode()
    holder, key = chance.choice(places)
    if chance.random() < 0.3 and isinstance(holder, dict):
        del holder[key]
    else:
        holder[key] = chance.choice(STRANGE)
    return json.dumps(root).encode()
