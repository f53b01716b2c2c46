"""The open change requests that touch a flag, beside it on its page, and what they still change of it."""

from typing import Any

from django.http import HttpRequest

from approvals.selectors import open_requests_touching
from approvals.services.trials import bases_of, clashes_of
from audit.services import diff
from flags.admin import Panel, register_panel
from flags.documents import flag_document
from flags.models import FlagConfig
from tenancy.console_kit.changes import BOOKKEEPING, sentences

_MOST = 5


def _requests_of(request: HttpRequest, config: FlagConfig) -> dict[str, Any] | None:  # noqa: ARG001 - as a panel is asked
    found = list(open_requests_touching(config.environment, "flag", config.flag.key)[:_MOST])
    if not found:
        return None
    now = flag_document(config)
    rows = []
    for one in found:
        clashes = clashes_of(one.changes, one.bases, bases_of(one.environment, one.changes))
        rows.append({"request": one, "remains": _remains(one.parts, config, now), "clashes": clashes})
    return {"rows": rows}


def _remains(parts: list[dict[str, Any]], config: FlagConfig, now: dict[str, Any]) -> list[str]:
    """Say what the request still changes of what is served now."""
    for part in parts:
        is_here = part["environment"] == config.environment.key and part["entity"] == "flag"
        if is_here and part["key"] == config.flag.key and part["after"] is not None:
            changed = {name for name in part["after"] if part["after"][name] != (part["before"] or {}).get(name)}
            then = {name: part["after"][name] for name in changed}
            left = diff({name: now.get(name) for name in changed}, then)
            return sentences(change for change in left if change["path"] not in BOOKKEEPING)
    return []


register_panel(Panel("approvals/panel.html", _requests_of))
