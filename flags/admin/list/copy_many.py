"""Promotion: several flags do in another environment of their project what they do in this one."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.functional import SimpleLazyObject

from flags import services
from flags.admin.across.copying import copied, target_named, targets_of
from flags.admin.effects import effects
from flags.admin.flag.sentences import describe
from flags.admin.list import many
from flags.admin.list.bulk import NumbersField, ProgressForm, Selection, as_text
from flags.admin.reach import reach_of_many
from flags.documents import flag_document
from flags.evaluation.impact import phases_begun_by
from flags.models import FlagConfig
from tenancy.console_kit.context import console_context
from tenancy.errors import Conflict, Invalid
from tenancy.models import Environment


class CopyManyForm(ProgressForm):
    """`seen` has three numbers for each flag: its id here, and the versions here and there that the page was about."""

    seen = NumbersField()
    to = forms.CharField(widget=forms.HiddenInput, error_messages={"required": "Choose the environment to copy to."})


def ask(request: HttpRequest, rows: QuerySet[FlagConfig]) -> HttpResponse:
    return many.ask(request, rows, _COPY)


def copy(request: HttpRequest) -> HttpResponse:
    return many.run(request, _COPY)


def _copy(request: HttpRequest, config: FlagConfig, sent: Mapping[str, Any]) -> None:
    target = target_named(request, config.environment)
    if target is None:
        raise Invalid("Copy to another environment of the same project that you may edit.", attr="to", code="invalid")
    services.copy_flag(
        actor=console_context(request).actor,
        source=config.environment,
        target=target,
        key=config.flag.key,
        reason=sent["reason"],
        versions=_seen_of(config, sent["seen"]),
    )


def _seen_of(config: FlagConfig, seen: list[int]) -> tuple[int, int]:
    """Return the versions that the page was about: no other is copied, nor written over."""
    triples = zip(seen[::3], seen[1::3], seen[2::3], strict=False)
    found = next((versions for pk, *versions in triples if pk == config.pk), None)
    if found is None:
        raise Conflict(
            f"The page was not about {config.flag.key}. Choose the flags in the list again.", code="version_conflict"
        )
    return found[0], found[1]


def _initial(request: HttpRequest, chosen: Selection) -> dict[str, Any]:
    source = chosen.place
    target = target_named(request, source) if source else None
    if source is None or target is None:
        return {"to": ""}
    here = dict(FlagConfig.objects.filter(pk__in=chosen.pks).values_list("flag_id", "pk"))
    rows = FlagConfig.objects.filter(flag__in=here, environment__in=[source, target])
    versions = {(flag, place): version for flag, place, version in rows.values_list("flag", "environment", "version")}
    seen = [
        number
        for flag, pk in here.items()
        if (flag, source.pk) in versions
        for number in (pk, versions[flag, source.pk], versions.get((flag, target.pk), 0))
    ]
    return {"to": target.key, "seen": as_text(seen)}


def _may(request: HttpRequest, configs: list[FlagConfig]) -> bool:
    return not configs or bool(targets_of(request, configs[0].environment))


def _shown(request: HttpRequest, chosen: Selection) -> dict[str, Any]:
    if not chosen.shown:
        return {}
    source = chosen.shown[0].environment
    target = target_named(request, source)
    if target is None:
        return {"targets": targets_of(request, source)}
    keys = [config.flag.key for config in chosen.shown]
    return {
        "target": target,
        "rows": SimpleLazyObject(lambda: _rows(chosen, target)),
        "reach": SimpleLazyObject(lambda: reach_of_many(target, keys)),
    }


def _rows(chosen: Selection, target: Environment) -> list[dict[str, Any]]:
    there = FlagConfig.objects.filter(environment=target, flag__in=[config.flag_id for config in chosen.shown])
    found = there.select_related("flag", "environment__project__organization").prefetch_related("rules")
    by_flag = {config.flag_id: config for config in found}
    pairs = [(config, by_flag[config.flag_id]) for config in chosen.shown if config.flag_id in by_flag]
    return [_row(config, other) for config, other in pairs]


def _row(config: FlagConfig, there: FlagConfig) -> dict[str, Any]:
    before, after = flag_document(there), copied(config, there)
    begun = phases_begun_by(there.environment, before, after) if there.experiment else ()
    return {"config": there, "sentences": describe(after), "effects": effects(before, after), "phases": begun}


_COPY = many.ManyAct(
    name="copy_many",
    verb="Copy",
    doing="Copying",
    done="copied",
    act=_copy,
    may=_may,
    template="flags/copy_many.html",
    shown=_shown,
    form=CopyManyForm,
    initial=_initial,
    serves=lambda request, chosen: target_named(request, chosen.place) if chosen.place else None,
    tone="warn",
)
