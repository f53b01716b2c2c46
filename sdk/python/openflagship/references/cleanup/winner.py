"""The value that everybody gets of a flag, which is what its clean-up keeps."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

from openflagship.management import CommandError

_BUCKETS: Final = 10_000
_WHOLE_PERCENT: Final = 100


def winner_of(key: str, keep: str | None, document_of: Callable[[], Mapping[str, Any]]) -> Any:
    """The value that `keep` names: as JSON, or as a variant. None: the one that everybody gets now.

    `document_of` asks the server; it is called where that is needed. Raises CommandError.
    """
    if keep is None:
        document = document_of()
        return _value(key, document, _everybody_gets(key, document))
    try:
        return json.loads(keep)
    except (ValueError, RecursionError):
        return _value(key, document_of(), keep)


def _value(key: str, document: Mapping[str, Any], variant: str) -> Any:
    values = {each["key"]: each["value"] for each in document.get("variants", ())}
    if variant not in values:
        raise CommandError(f"{key} has no variant {variant!r}: use one of {', '.join(values)}, or a value as JSON")
    return values[variant]


def _everybody_gets(key: str, document: Mapping[str, Any]) -> str:
    decides = next((name for name in ("rules", "experiment", "prerequisites") if document.get(name)), None)
    if document.get("killSwitchVariant"):
        raise CommandError(f"{key} is killed, so nothing has won: give --keep")
    if document.get("status", "active") != "active":
        raise CommandError(f"{key} is archived: give --keep")
    if not document.get("enabled"):
        return str(document["offVariant"])
    if any(each.get("userIds") for each in document.get("targets", ())):
        decides = "targets"
    if decides:
        raise CommandError(f"{key} has {decides}, so not everybody gets one variant: give --keep")
    shares: Counter[str] = Counter()
    for begin, end, variant in document.get("allocation", ()):
        shares[variant] += end - begin
    for share in document.get("rollout", ()):
        shares[share["variant"]] += round(share["percent"] * _BUCKETS / _WHOLE_PERCENT)
    served = {variant: buckets for variant, buckets in shares.items() if buckets}
    if not served:
        return str(document["defaultVariant"])
    if len(served) == 1 and sum(served.values()) == _BUCKETS:
        return next(iter(served))
    raise CommandError(f"{key} is not at 100 % of one variant: give --keep")
