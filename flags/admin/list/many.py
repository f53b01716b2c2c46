"""An act on flags chosen in the list: a page says what it does, then it is done to one after the other."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, cast
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.functional import SimpleLazyObject
from django.utils.html import format_html
from redis.exceptions import RedisError

from flags.admin.list.bulk import (
    ProgressForm,
    Run,
    Selection,
    as_text,
    numbers_in,
    select,
    sent_selection,
    visible_flags,
)
from flags.admin.list.kept_runs import goes_on, keep_run, kept_run, may_go_on
from flags.admin.reach import Reach, reach_of_many
from flags.models import FlagConfig
from tenancy.console_kit import proposals
from tenancy.console_kit.confirm import ConfirmPage
from tenancy.console_kit.context import console_context
from tenancy.console_kit.formats import counted
from tenancy.console_kit.forms import say_problems
from tenancy.console_kit.pages import console_page, list_url
from tenancy.errors import Conflict, ServiceError
from tenancy.models import Environment, User

_MOST_IN_ADDRESS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ManyAct:
    """`name` is that of its route. `act` changes one flag by what the form holds, and may raise ServiceError.

    `may` says whether the person may do it to all of the flags. `shown` returns what the page's template needs.
    `check` refuses all of it before the first is changed, by raising ServiceError. `serves` returns the environment in
    which it changes what is served. `initial` returns what the page's form carries beyond the flags.
    """

    name: str
    verb: str
    doing: str
    done: str
    act: Callable[[HttpRequest, FlagConfig, Mapping[str, Any]], object]
    may: Callable[[HttpRequest, list[FlagConfig]], bool]
    template: str
    shown: Callable[[HttpRequest, Selection], Mapping[str, Any]]
    check: Callable[[list[FlagConfig], Mapping[str, Any]], None] = lambda configs, sent: None  # noqa: ARG005 - as each
    serves: Callable[[HttpRequest, Selection], Environment | None] = lambda request, chosen: chosen.place  # noqa: ARG005 - as each
    tone: Literal["", "warn", "danger"] = ""
    form: Callable[..., ProgressForm] = ProgressForm
    initial: Callable[[HttpRequest, Selection], Mapping[str, Any]] = lambda request, chosen: {}  # noqa: ARG005 - as each
    is_reason_needed: bool = False
    # The act that takes it back, by the name of its route; its page is offered for a number that an address can name.
    undo: str = ""

    @property
    def url(self) -> str:
        return reverse(f"admin:flags_flagconfig_{self.name}")


def ask(request: HttpRequest, rows: QuerySet[FlagConfig], act: ManyAct) -> HttpResponse:
    return _confirm_page(request, rows, act).ask(request)


def run(request: HttpRequest, act: ManyAct) -> HttpResponse:
    """Change the confirmed flags: all at once, or a part with each request if there are too many for one."""
    if request.method != "POST":
        if "run" in request.GET:
            return _show_kept(request, act)
        named = numbers_in(request.GET.get("flags", "")) or []
        rows = visible_flags(request).filter(pk__in=named).order_by("flag__key")
        return ask(request, rows, act) if named and rows.exists() else redirect(list_url(FlagConfig))
    page = _confirm_page(request, sent_selection(request), act)
    # A choice on the page may decide what it has to say first.
    return page.ask(request) if "look" in request.POST else page.answer(request)


def reach_of(chosen: Selection) -> Reach:
    """Return what depends on the chosen flags. It is looked up for the page, and nobody waits for it who confirms."""
    keys = [config.flag.key for config in chosen.shown]
    return cast(Reach, SimpleLazyObject(lambda: reach_of_many(chosen.shown[0].environment, keys) if keys else None))


def _confirm_page(request: HttpRequest, rows: QuerySet[FlagConfig], act: ManyAct) -> ConfirmPage:
    chosen = select(rows)
    if chosen.shown:
        console_context(request).bind(chosen.shown[0].environment)
    if not act.may(request, chosen.shown):
        raise PermissionDenied
    return ConfirmPage(
        title=f"{act.verb} {counted(len(chosen.pks), 'flag')}?",
        submit=f"{act.verb} {len(chosen.pks)}",
        act=lambda sent: _run(request, rows, act, sent),
        cancel_url=_list_url(chosen.shown),
        action_url=act.url,
        reason_label="Why?" if act.is_reason_needed else "Reason, for the audit log",
        tone=act.tone,
        serves=act.serves(request, chosen),
        form=partial(act.form, is_reason_needed=act.is_reason_needed),
        initial={"flags": chosen.as_text, **act.initial(request, chosen)},
        template=act.template,
        shown={"chosen": chosen, **act.shown(request, chosen)},
    )


def _run(request: HttpRequest, rows: QuerySet[FlagConfig], act: ManyAct, sent: dict[str, Any]) -> HttpResponse:
    configs = {config.pk: config for config in rows}
    if not act.may(request, list(configs.values())):
        raise PermissionDenied
    if sent["done"] is None:
        act.check(list(configs.values()), sent)
    if proposals.is_wanted(request):
        return _propose(request, list(configs.values()), act, sent)
    sent, waiting = _latest(request, act, sent)
    run = Run.resumed(sent, [pk for pk in waiting if pk in configs])
    run.work(configs, lambda config: act.act(request, config, sent))
    url = _list_url(list(configs.values()))
    if sent["done"] is None and not run.waiting:
        for _, why in run.failures:
            messages.error(request, why)
        if run.done:
            messages.success(request, _said(run, act, configs))
        if run.refused:
            left = _confirm_page(request, rows.filter(pk__in=run.refused), act)
            form = left.form(initial={**sent, "flags": as_text(run.refused)})
            return left.ask(request, form, status=409, is_proposable=True)
        return redirect(url)
    carried = {**sent, **run.carried()}
    place = next(iter(configs.values())).environment if configs else None
    if place is not None:
        with suppress(RedisError):
            # Without it the page can be shown all the same, and not loaded again.
            carried["run"] = keep_run(cast(User, request.user), act.name, place, carried)
            if not request.headers.get("HX-Request"):
                may_go_on(cast(User, request.user), carried["run"])
    if request.headers.get("HX-Request"):
        return render(request, "flags/bulk_part.html", _progress(run, act, carried))
    if carried["run"]:
        return redirect(f"{act.url}?{urlencode({'run': carried['run']})}")
    return _progress_page(request, run, act, carried, url)


def _latest(request: HttpRequest, act: ManyAct, sent: dict[str, Any]) -> tuple[dict[str, Any], list[int]]:
    """Return what is kept, where that is further than what was sent: a page that was loaded before a part was done."""
    try:
        found = kept_run(cast(User, request.user), act.name, sent["run"]) if sent["run"] else None
    except RedisError:
        found = None
    if found is None or _handled(found[1]) <= _handled(sent):
        return sent, sent["flags"]
    return found[1], numbers_in(found[1]["flags"]) or []


def _handled(sent: Mapping[str, Any]) -> int:
    return int((sent["done"] or 0) + (sent["failed"] or 0))


def _progress(run: Run, act: ManyAct, carried: Mapping[str, Any]) -> dict[str, Any]:
    return {"run": run, "form": act.form(initial=dict(carried)), "act": act}


def _progress_page(
    request: HttpRequest, run: Run, act: ManyAct, carried: Mapping[str, Any], url: str, *, is_paused: bool = False
) -> HttpResponse:
    title = f"{act.doing} {counted(run.total, 'flag')}"
    shown = _progress(run, act, carried) | {"list_url": url, "is_paused": is_paused}
    return console_page(request, "flags/bulk.html", title=title, **shown)


def _show_kept(request: HttpRequest, act: ManyAct) -> HttpResponse:
    """Show how far it is. The page goes on by itself when it is first shown, and later where somebody says so."""
    user, name = cast(User, request.user), request.GET["run"]
    try:
        found = kept_run(user, act.name, name)
        is_first = found is not None and goes_on(user, name)
    except RedisError:
        found, is_first = None, False
    context = console_context(request)
    place = next((row for row in context.environments if found and row.pk == found[0]), None)
    if found is None or place is None:
        messages.info(request, "What was shown here is over. The list says how the flags are.")
        return redirect(list_url(FlagConfig))
    context.bind(place)
    _, carried = found
    run = Run.resumed(carried, numbers_in(carried["flags"]) or [])
    return _progress_page(request, run, act, carried, list_url(FlagConfig, environment=place), is_paused=not is_first)


def _said(run: Run, act: ManyAct, configs: Mapping[int, FlagConfig]) -> str:
    said = f"{counted(run.done, 'flag')} {act.done}."
    left = {key for key, _ in run.failures}
    pks = [pk for pk, config in configs.items() if config.flag.key not in left]
    if not act.undo or len(pks) > _MOST_IN_ADDRESS:
        return said
    url = f"{reverse(f'admin:flags_flagconfig_{act.undo}')}?flags={as_text(pks)}"
    return format_html('{} <a href="{}">Undo…</a>', said, url)


def _propose(request: HttpRequest, configs: list[FlagConfig], act: ManyAct, sent: Mapping[str, Any]) -> HttpResponse:
    """Ask for all of them in one request. What is not refused stays as it is, and the person is told why."""
    refusals: list[ServiceError] = []
    others: list[ServiceError] = []
    for config in configs:
        try:
            proposals.attempted(request, partial(act.act, request, config, sent))
        except ServiceError as error:
            (refusals if proposals.is_proposable(error) else others).append(error)
    if not refusals:
        raise others[0] if others else Conflict("None of these flags is here any more.", code="gone")
    title = f"{act.verb} {counted(len(refusals), 'flag')}"
    made = proposals.proposed(request, proposals.together(title, refusals), sent["reason"])
    for refusal in others:
        say_problems(request, refusal)
    return cast(HttpResponse, made)


def _list_url(configs: list[FlagConfig]) -> str:
    return list_url(FlagConfig, environment=configs[0].environment if configs else None)
