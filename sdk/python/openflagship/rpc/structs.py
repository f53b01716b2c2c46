"""From protobuf's `Struct` to the values of JSON; the other way is `Struct.update`. And messages that end in one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct, Value

from openflagship.wire.errors import RefusedError

# Above it not every whole number is a double of its own.
_MOST_EXACT = 2**53
_MOST_DEPTH = 100


def plain_of(struct: Struct) -> dict[str, Any]:
    """The object, in which a number without a fraction is a whole one again. Raises RefusedError."""
    return {name: _plain(value, 0) for name, value in struct.fields.items()}


def plain_value(value: Value) -> Any:
    return _plain(value, 0)


def _plain(value: Value, depth: int) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return value.string_value
    if kind == "number_value":
        number = value.number_value
        if not math.isfinite(number):
            raise RefusedError(400, "A number is infinite or none; JSON has no such number.")
        return int(number) if number.is_integer() and abs(number) <= _MOST_EXACT else number
    if kind == "bool_value":
        return value.bool_value
    if depth >= _MOST_DEPTH:
        raise RefusedError(400, f"A value is nested deeper than {_MOST_DEPTH} levels.")
    if kind == "struct_value":
        return {name: _plain(member, depth + 1) for name, member in value.struct_value.fields.items()}
    if kind == "list_value":
        return [_plain(member, depth + 1) for member in value.list_value.values]
    return None


def ending_in_text(message: Message, field: str, members: Mapping[str, Any], last: str, length: int) -> bytes:
    """The written message, but for the text of the `last` member of its `field`, a `Struct`.

    Any text of `length` ASCII characters behind it makes it whole. The message must not have that field yet.
    """
    struct, end = Struct(), Struct()
    struct.update({name: value for name, value in members.items() if name != last})
    end.update({last: " " * length})
    content = struct.SerializeToString() + end.SerializeToString()
    # Protobuf lets the fields of a message stand in any order; the length of one that is a message comes before it.
    tag = message.DESCRIPTOR.fields_by_name[field].number << 3 | 2
    return message.SerializeToString() + _varint(tag) + _varint(len(content)) + content[:-length]


def _varint(number: int) -> bytes:
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*written, number])
