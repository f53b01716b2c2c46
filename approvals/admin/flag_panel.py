"""The open change requests that touch a flag, beside it on its page, and what an unsaved edit leaves of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest

from approvals.models import ChangeRequest
from approvals.selectors import open_requests_touching
from audit.services import diff, is_same
from flags.admin import Panel, PreviewPanel, register_panel, register_preview_panel
from flags.documents import flag_document, flag_resource
from flags.models import FlagConfig
from tenancy.console_kit.changes import BOOKKEEPING, label_of, sentences

_MOST = 5
_KIND = "flag"


@dataclass(frozen=True, slots=True)
class Remains:
    """What a request still changes of a flag, in sentences, and which of its fields somebody else changed since."""

    request: ChangeRequest
    sentences: list[str]
    both: list[str]


def remains_of(request: ChangeRequest, config: FlagConfig, changed: Mapping[str, Any] | None = None) -> Remains:
    """Compare the request with the flag as it is, and with the fields of an edit over it where there is one."""
    now = {**flag_resource(config), **(changed or {})}
    named = [
        (change, base or {})
        for change, base in zip(request.changes, request.bases, strict=True)
        if change["resource"] == {"type": _KIND, "key": config.flag.key}
    ]
    if not named or request.environment_id != config.environment_id:
        return Remains(request, _remains_of_parts(request, config), [])
    said: list[str] = []
    both: list[str] = []
    for change, base in named:
        if change["action"] != "update":
            said.append(f"The flag: {change['action']}.")
            continue
        patch = change["patch"]
        left = [name for name in patch if name not in BOOKKEEPING and not is_same(now.get(name), patch[name])]
        said += sentences(diff({name: now.get(name) for name in left}, {name: patch[name] for name in left}))
        both += [label_of(name) for name in left if not is_same(now.get(name), base.get(name))]
    return Remains(request, said, both)


def _remains_of_parts(request: ChangeRequest, config: FlagConfig) -> list[str]:
    """What a change of something else, such as an import, serves differently of the flag."""
    now = flag_document(config)
    for part in request.parts:
        is_here = part["environment"] == config.environment.key and part["entity"] == _KIND
        if is_here and part["key"] == config.flag.key and part["after"] is not None:
            names = [name for name in part["after"] if part["after"][name] != (part["before"] or {}).get(name)]
            left = diff({name: now.get(name) for name in names}, {name: part["after"][name] for name in names})
            return sentences(change for change in left if change["path"] not in BOOKKEEPING)
    return []


def _requests_of(request: HttpRequest, config: FlagConfig) -> dict[str, Any] | None:  # noqa: ARG001 - as a panel is asked
    found = list(open_requests_touching(config.environment, _KIND, config.flag.key)[:_MOST])
    return {"rows": [remains_of(one, config) for one in found]} if found else None


def _left_by(request: HttpRequest, config: FlagConfig, changed: Mapping[str, Any]) -> dict[str, Any] | None:  # noqa: ARG001 - likewise
    if not changed or not config.environment.is_guarded:
        return None
    found = list(open_requests_touching(config.environment, _KIND, config.flag.key)[:_MOST])
    return {"rows": [remains_of(one, config, changed) for one in found], "is_edit": True} if found else None


register_panel(Panel("approvals/panel.html", _requests_of))
register_preview_panel(PreviewPanel("approvals/left.html", _left_by))
