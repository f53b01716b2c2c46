"""How values leave in files: JSON that carries any stored value, and CSV that no spreadsheet runs."""

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, TypeVar

import orjson
import structlog
from django.core.serializers.json import DjangoJSONEncoder

log = structlog.get_logger(__name__)
Line = TypeVar("Line", str, bytes)

BROKE_OFF: Final = "The export broke off here. The rows before this line are whole; ask again."
# What a spreadsheet takes for the start of a formula, also after blanks and in their wide forms.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001 - the wide forms


def json_bytes(value: Any, *, is_sorted: bool = False) -> bytes:
    """JSON, also of integers that 64 bits do not hold."""
    options = orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS | (orjson.OPT_SORT_KEYS if is_sorted else 0)
    try:
        return orjson.dumps(value, default=str, option=options)
    except TypeError:
        text = json.dumps(value, separators=(",", ":"), cls=_AnyEncoder, ensure_ascii=False, sort_keys=is_sorted)
        return text.encode(errors="replace")


class _AnyEncoder(DjangoJSONEncoder):
    def default(self, o: Any) -> Any:
        try:
            return super().default(o)
        except TypeError:
            return str(o)


class _Echo:
    """A file whose `write` returns the line, so that `csv` can stream."""

    def write(self, line: str) -> str:
        return line


def whole_or_said(lines: Iterable[Line], broke_off: Line) -> Iterator[Line]:
    """Pass the lines of a file on. Where they cannot be read to the end, the last line says so: the status was 200."""
    try:
        yield from lines
    except Exception:
        log.exception("export_broke_off")
        yield broke_off


def csv_rows(rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """Yield a line for each row. Objects are JSON; a text like a formula gets a quote before it, and stays text."""
    writer = csv.writer(_Echo())
    for row in rows:
        yield writer.writerow([_cell(value) for value in row])


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float)):
        return value
    text = value if isinstance(value, str) else json_bytes(value).decode().strip('"')
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text
