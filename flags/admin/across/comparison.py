"""One flag in each environment side by side, in the order of its decision, with differences marked."""

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse

from flags.admin.flag.sentences import describe_rule
from flags.documents import flag_document, flag_resource, unit_names
from flags.models import FlagConfig
from tenancy.console_kit.context import console_context
from tenancy.console_kit.pages import console_page

_MOST_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Row:
    """One property in each environment: a list of lines for each, in the environments' order."""

    name: str
    cells: list[list[str]]

    @property
    def differs(self) -> bool:
        return any(cell != self.cells[0] for cell in self.cells[1:])


def page(request: HttpRequest, config: FlagConfig) -> HttpResponse:
    environments = [environment.pk for environment in console_context(request).environments]
    rows = FlagConfig.objects.filter(flag=config.flag_id, environment__in=environments)
    found = rows.select_related("environment__project__organization", "flag").prefetch_related("rules")
    configs = list(found.order_by("-environment__is_production", "environment__key"))
    return console_page(
        request,
        "flags/compare.html",
        title=f"{config.flag.key} in each environment",
        config=config,
        configs=configs,
        rows=compare(configs),
    )


def compare(configs: list[FlagConfig]) -> list[Row]:
    columns = [_column(config) for config in configs]
    return [Row(name, [column[name] for column in columns]) for name in (columns[0] if columns else [])]


def _column(config: FlagConfig) -> dict[str, list[str]]:
    document: dict[str, Any] = flag_document(config)
    resource: dict[str, Any] = flag_resource(config)
    targets = [f"{item['variant']}: {user}" for item in resource["targets"] for user in item["userIds"]]
    more = [f"and {len(targets) - _MOST_SHOWN} more"] if len(targets) > _MOST_SHOWN else []
    return {
        "State": [
            "archived"
            if config.flag.is_archived
            else f"killed: everybody gets {config.kill_switch_variant}"
            if config.is_killed
            else "on"
            if config.is_enabled
            else "off"
        ],
        "Needs other flags": [
            f"{item['flagKey']}: {' or '.join(item['variants'])}" for item in document["prerequisites"]
        ],
        "Always for certain users": [*targets[:_MOST_SHOWN], *more],
        "Rules": [describe_rule(rule) for rule in document["rules"]],
        "Default rollout": [f"{item['percent']:g} % {item['variant']}" for item in resource["rollout"]],
        "Default variant": [document["defaultVariant"]],
        "Off variant": [document["offVariant"]],
        "Bucketed by": [", else ".join(unit_names(document["bucketBy"]))],
        "Experiment": ["running"] if document.get("experiment") else [],
        "Version": [str(config.version)],
    }
