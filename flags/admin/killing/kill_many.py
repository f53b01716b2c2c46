"""Killing and releasing several flags at once. A page lists what it does; then one transaction does all of it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.functional import SimpleLazyObject

from flags import services
from flags.admin.flag.sentences import describe
from flags.admin.killing.kill import affected_by
from flags.admin.list.bulk import SelectionForm, select, sent_selection
from flags.admin.reach import reach_of_many
from flags.documents import flag_document
from flags.models import FlagConfig
from tenancy.console_kit.confirm import ConfirmPage
from tenancy.console_kit.context import console_context
from tenancy.console_kit.environments import may_edit
from tenancy.console_kit.formats import counted
from tenancy.console_kit.pages import list_url

_MOST_NAMED = 20


@dataclass(frozen=True, slots=True)
class _Act:
    name: str
    verb: str
    done: str
    submit: str
    none_left: str
    service: Callable[..., list[FlagConfig]]


_KILL = _Act("kill", "Kill", "killed", "Kill them all", "None of these flags is here any more.", services.kill_flags)
_RELEASE = _Act(
    "release", "Release", "released", "Release them", "None of these flags is killed.", services.release_flags
)


def ask_kill(request: HttpRequest, rows: QuerySet[FlagConfig]) -> HttpResponse | None:
    """Ask before each selected flag is killed to its off variant. Returns None if none of them exists."""
    page = _confirm_page(request, rows, _KILL)
    return page.ask(request) if page else None


def ask_release(request: HttpRequest, rows: QuerySet[FlagConfig]) -> HttpResponse | None:
    page = _confirm_page(request, rows.exclude(kill_switch_variant=""), _RELEASE)
    return page.ask(request) if page else None


def kill(request: HttpRequest) -> HttpResponse:
    page = _confirm_page(request, sent_selection(request), _KILL)
    return page.answer(request) if page else redirect(list_url(FlagConfig))


def release(request: HttpRequest) -> HttpResponse:
    page = _confirm_page(request, sent_selection(request).exclude(kill_switch_variant=""), _RELEASE)
    return page.answer(request) if page else redirect(list_url(FlagConfig))


def _confirm_page(request: HttpRequest, rows: QuerySet[FlagConfig], act: _Act) -> ConfirmPage | None:
    """Return the page, or None with a message if no flag is left. Raises PermissionDenied.

    A list shows one environment, so one role decides.
    """
    chosen = select(rows)
    if not chosen.pks:
        messages.info(request, act.none_left)
        return None
    environment = chosen.shown[0].environment
    console_context(request).bind(environment)
    if not may_edit(request, chosen.shown[0]):
        raise PermissionDenied
    return ConfirmPage(
        title=f"{act.verb} {counted(len(chosen.pks), 'flag')}?",
        submit=act.submit,
        act=lambda sent: _switch_all(request, rows, act, sent["reason"]),
        cancel_url=list_url(FlagConfig, environment=environment),
        action_url=reverse(f"admin:flags_flagconfig_{act.name}_many"),
        reason_label="Why?",
        tone="danger" if act is _KILL else "warn",
        serves=None if act is _KILL else environment,
        form=partial(SelectionForm, is_reason_needed=act is _KILL),
        initial={"flags": chosen.as_text},
        template="flags/kill_many.html",
        shown={
            "is_kill": act is _KILL,
            "place": environment,
            "chosen": chosen,
            "reach": SimpleLazyObject(lambda: reach_of_many(environment, [config.flag.key for config in chosen.shown])),
            "rows": [_row(config, act) for config in chosen.shown],
        },
    )


def _row(config: FlagConfig, act: _Act) -> dict[str, Any]:
    if act is _KILL:
        return {"config": config, "affected": affected_by(config, config.off_variant)}
    return {"config": config, "sentences": describe({**flag_document(config), "killSwitchVariant": None})}


def _switch_all(request: HttpRequest, rows: QuerySet[FlagConfig], act: _Act, reason: str) -> HttpResponse:
    """Switch all flags in one transaction. Archived flags stay as they are, and the others do not wait for them."""
    configs = list(rows)
    environment = configs[0].environment
    keys = [config.flag.key for config in configs if config.environment_id == environment.pk]
    changed = act.service(actor=console_context(request).actor, environment=environment, keys=keys, reason=reason)
    left = sorted(set(keys) - {config.flag.key for config in changed})
    if left:
        more = f" and {len(left) - _MOST_NAMED:,} more" if len(left) > _MOST_NAMED else ""
        messages.warning(request, f"Archived, so nobody is served them: {', '.join(left[:_MOST_NAMED])}{more}.")
    if changed:
        messages.success(request, f"{counted(len(changed), 'flag')} {act.done}.")
    return redirect(list_url(FlagConfig, environment=environment))
