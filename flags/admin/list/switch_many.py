"""Switching several flags on or off at once, or one by its row. A page first says whom that moves."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from flags import services
from flags.admin.effects import effects
from flags.admin.flag.sentences import describe
from flags.admin.list import many
from flags.admin.list.bulk import Selection, visible_flags
from flags.documents import flag_document
from flags.evaluation.impact import phases_begun_by
from flags.models import FlagConfig
from tenancy.console_kit.context import console_context
from tenancy.console_kit.environments import may_edit


def ask_on(request: HttpRequest, rows: QuerySet[FlagConfig]) -> HttpResponse:
    return many.ask(request, rows, _ON)


def ask_off(request: HttpRequest, rows: QuerySet[FlagConfig]) -> HttpResponse:
    return many.ask(request, rows, _OFF)


def on(request: HttpRequest) -> HttpResponse:
    return many.run(request, _ON)


def off(request: HttpRequest) -> HttpResponse:
    return many.run(request, _OFF)


def one(request: HttpRequest, config: FlagConfig) -> HttpResponse:
    """Ask about the switch of one row. The answer goes to the page of several."""
    return many.ask(request, visible_flags(request).filter(pk=config.pk), _OFF if config.is_enabled else _ON)


def _switch(request: HttpRequest, config: FlagConfig, sent: Mapping[str, Any], *, is_on: bool) -> None:
    services.update_flag(
        actor=console_context(request).actor,
        environment=config.environment,
        key=config.flag.key,
        payload={"enabled": is_on},
        version=None,
        reason=sent["reason"],
    )


def _may(request: HttpRequest, configs: list[FlagConfig]) -> bool:
    return all(may_edit(request, config) for config in configs)


def _shown(request: HttpRequest, chosen: Selection, *, is_on: bool) -> dict[str, Any]:  # noqa: ARG001 - as each act's
    place = chosen.shown[0].environment if chosen.shown else None
    return {
        "place": place,
        "rows": [_row(config, is_on=is_on) for config in chosen.shown],
        "reach": many.reach_of(chosen),
    }


def _row(config: FlagConfig, *, is_on: bool) -> dict[str, Any]:
    before = flag_document(config)
    after = {**before, "enabled": is_on}
    begun = phases_begun_by(config.environment, before, after) if config.experiment else ()
    return {"config": config, "sentences": describe(after), "effects": effects(before, after), "phases": begun}


_ON = many.ManyAct(
    name="switch_on_many",
    verb="Switch on",
    doing="Switching on",
    done="switched on",
    act=partial(_switch, is_on=True),
    may=_may,
    template="flags/switch_many.html",
    shown=partial(_shown, is_on=True),
    tone="warn",
)
_OFF = many.ManyAct(
    name="switch_off_many",
    verb="Switch off",
    doing="Switching off",
    done="switched off",
    act=partial(_switch, is_on=False),
    may=_may,
    template="flags/switch_many.html",
    shown=partial(_shown, is_on=False),
    tone="warn",
)
