"""The list of hostile values: whatever has broken a server somewhere. Each goes into every field of every door."""

import json
from collections.abc import Iterator
from typing import Any

LONG = "x" * 100_000
SURROGATE = "\ud800"
# As JSON text, because Python's JSON would not write all of them.
JSON_VALUES = {
    "null": "null",
    "NUL": '"a\\u0000b"',
    "half a surrogate pair": '"\\ud800"',
    "100 KB of text": f'"{LONG}"',
    "a huge number": "1e30",
    "a number beyond floats": "1e400",
    "a huge integer": "9" * 400,
    "more than 64 bits": "18446744073709551616",
    "a tiny number": "1e-320",
    "a negative number": "-1",
    "NaN": "NaN",
    "true": "true",
    "an empty list": "[]",
    "an empty object": "{}",
    "an empty text": '""',
    "deep nesting": "[" * 2_000 + "]" * 2_000,
    "nesting without end": "[" * 100_000 + "]" * 100_000,
    "objects in a list": '[{"a": [1, "b", null, {"c": 1e300}]}]',
    "the first date": '"0001-01-01T00:00:00+14:00"',
    "the last date": '"9999-12-31T23:59:59-14:00"',
    "a formula": '"=HYPERLINK(1)"',
    "a pattern": '"(a?){500}a{500}"',
}
# As a form or an address carries them.
TEXTS = {
    "NUL": "a\x00b",
    "100 KB of text": LONG,
    "5,000 characters": "n" * 5_000,
    "a number of a million digits": "1e1000000",
    "a huge number": "1e30",
    "a huge integer": "9" * 5_000,
    "more than 64 bits": "18446744073709551616",
    "NaN": "NaN",
    "infinity": "-Infinity",
    "negative": "-1",
    "deep JSON": '{"key": ' + "[" * 2_000 + "]" * 2_000 + "}",
    "JSON without end": "[" * 100_000,
    "JSON with half a surrogate pair": '{"key": "\\ud800", "name": "\\ud800"}',
    "JSON with NaN": '{"rollout": [{"variant": "treatment", "percent": NaN}]}',
    "a list": '["a"]',
    "the first date": "0001-01-01T00:00",
    "the last date": "9999-12-31T23:59",
    "empty": "",
    "no UUID": "not-a-uuid",
    "a formula": "=1+1",
    "bytes that are no text": "\udcff",
}


def leaves(body: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of each value in a body, those that hold others included."""
    if path:
        yield path
    items = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    for name, value in items:
        yield from leaves(value, (*path, name))


def written(body: Any, path: tuple[Any, ...], value: str) -> bytes:
    """The body as JSON, with a hostile value, itself JSON, in one place."""
    mark = "@hostile@"
    copy = json.loads(json.dumps(body))
    inner = copy
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = mark
    return json.dumps(copy).replace(f'"{mark}"', value).encode()
