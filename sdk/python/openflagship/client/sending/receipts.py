"""What the server says to a batch of events: its receipt and its refusals."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

from openflagship.client.transport.http import Response

_MOST_CHARACTERS = 300
_MOST_SAID = 5


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why one event of a batch was refused."""

    code: str
    detail: str


def receipt_of(response: Response) -> list[Refusal] | None:
    """The refusals of a batch that was taken; None for an answer that is no receipt, such as a login page's."""
    answer = _object_of(response) if response.status == 202 else {}
    accepted = answer.get("accepted")
    if not isinstance(accepted, int) or isinstance(accepted, bool):
        return None
    rejected = answer.get("rejected")
    return [
        Refusal(_short(item.get("code")), _short(item.get("detail")))
        for item in (rejected if isinstance(rejected, list) else ())
        if isinstance(item, dict)
    ]


def summed_up(refused: list[Refusal]) -> str:
    """The refusals of a batch by code and detail, the most frequent first."""
    kinds = Counter((refusal.code, refusal.detail) for refusal in refused)
    return "; ".join(f"{number} x {code}: {detail}" for (code, detail), number in kinds.most_common(_MOST_SAID))


def reason_of(response: Response) -> str:
    """The server's own reason for a refusal, to follow a sentence; empty where it gives none."""
    reason = response.reason
    return f" ({reason})" if reason else ""


def _object_of(response: Response) -> dict[str, Any]:
    try:
        answer = json.loads(response.body)
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _short(value: object) -> str:
    return str(value)[:_MOST_CHARACTERS]
