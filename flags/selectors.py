"""Reading flags: always from an environment that `tenancy.access` has handed out."""

from collections.abc import Iterator, Sequence
from typing import Any

from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast

from flags.models import FlagConfig, Layer, Rule, Segment
from tenancy.errors import NotFound
from tenancy.models import Environment

STATES = ["active", "archived", "on", "off", "killed", "all"]


def configs(environment: Environment) -> QuerySet[FlagConfig]:
    """The environment's flags with what their resource needs, in two queries however many there are.

    Each has the very `environment` that was given for its own.
    """
    found = environment.flag_configs.select_related("flag").prefetch_related("rules")
    # The project follows from the environment; saying it lets the key's index do the ordering.
    return found.filter(flag__project=environment.project_id).order_by("flag__key")


def configs_of(environment: Environment, pks: Sequence[int]) -> list[tuple[FlagConfig, list[Rule]]]:
    """One page of flags with their rules, in the order of `pks`: two plain queries, and little work for each row."""
    rows = environment.flag_configs.select_related("flag").in_bulk(pks)
    rules: dict[int, list[Rule]] = {}
    for rule in Rule.objects.filter(config__in=pks).order_by("priority"):
        rules.setdefault(rule.config_id, []).append(rule)
    # A flag that was deleted since its page was counted is left out.
    return [(rows[pk], rules.get(pk, [])) for pk in pks if pk in rows]


def get_config(environment: Environment, key: str) -> FlagConfig:
    """Raises NotFound."""
    config = configs(environment).filter(flag__key=key).first()
    if config is None:
        raise NotFound(f"There is no flag {key!r} in {environment.key}.", attr="flagKey")
    return config


def search_configs(
    environment: Environment,
    *,
    state: str | None = None,
    tag: str | None = None,
    type: str | None = None,  # noqa: A002 - the filter's name in the API
    prefix: str | None = None,
    search: str | None = None,
) -> QuerySet[FlagConfig]:
    """Filter: `state` is active (default), archived, on, off, killed or all; `search` looks into key, name and tags."""
    found = configs(environment)
    match state:
        case None | "active":
            found = found.filter(flag__is_archived=False)
        case "archived":
            found = found.filter(flag__is_archived=True)
        case "on" | "off":
            found = found.filter(flag__is_archived=False, is_enabled=state == "on")
        case "killed":
            found = found.filter(flag__is_archived=False).exclude(kill_switch_variant="")
    if tag:
        found = found.filter(flag__tags__contains=[tag])
    if type:
        found = found.filter(flag__type=type)
    if prefix:
        found = found.filter(flag__key__startswith=prefix)
    if search:
        found = found.filter(
            Q(flag__key__icontains=search) | Q(flag__name__icontains=search) | Q(flag__tags__contains=[search])
        )
    return found


def get_segment(environment: Environment, key: str) -> Segment:
    """Raises NotFound."""
    segment = Segment.objects.filter(environment=environment, key=key).first()
    if segment is None:
        raise NotFound(f"There is no segment {key!r} in {environment.key}.", attr="segmentKey")
    return segment


def search_segments(environment: Environment, search: str | None = None) -> QuerySet[Segment]:
    found = Segment.objects.filter(environment=environment).order_by("key")
    return found.filter(Q(key__icontains=search) | Q(name__icontains=search)) if search else found


def layers(environment: Environment) -> QuerySet[Layer]:
    """The environment's layers with their slots, in two queries however many there are."""
    return (
        Layer.objects.filter(environment=environment)
        .select_related("environment__project__organization")
        .prefetch_related("slots")
    )


def get_layer(environment: Environment, key: str) -> Layer:
    """Raises NotFound."""
    layer = layers(environment).filter(key=key).first()
    if layer is None:
        raise NotFound(f"There is no layer {key!r} in {environment.key}.", attr="layerKey")
    return layer


def conditions_in(tree: Any) -> Iterator[dict[str, Any]]:
    """Yield the single conditions of a stored tree, or of a list of trees."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting += node
        elif isinstance(node, dict):
            groups = [node[name] for name in ("all", "any", "not") if name in node]
            if groups and "operator" not in node:
                waiting += groups
            else:
                yield node


def segments_in(tree: Any) -> list[str]:
    """Return the keys of the segments that a stored tree of conditions asks for."""
    asked = [node for node in conditions_in(tree) if node.get("operator") in {"in_segment", "not_in_segment"}]
    return list(dict.fromkeys(key for node in asked for key in node.get("value") or [] if isinstance(key, str)))


def segment_users(segment: Segment) -> list[str]:
    """Name everything that asks for the segment: rules (of archived flags too), experiments' audiences, segments."""
    environment, named = segment.environment_id, f'"{segment.key}"'

    def asking(rows: QuerySet[Any], field: str) -> QuerySet[Any]:
        return rows.annotate(text=Cast(field, TextField())).filter(text__contains=named)

    rules = asking(Rule.objects.filter(config__environment=environment), "conditions").select_related("config__flag")
    users = [
        f"flag {rule.config.flag.key}{' (archived)' if rule.config.flag.is_archived else ''}, rule {rule.priority}"
        for rule in rules.order_by("config__flag__key", "priority")
        if segment.key in segments_in(rule.conditions)
    ]
    configs_with_experiment = FlagConfig.objects.filter(environment=environment, experiment__isnull=False)
    users += [
        f"the experiment on flag {config.flag.key}"
        for config in asking(configs_with_experiment, "experiment").select_related("flag")
        if config.experiment and segment.key in segments_in(config.experiment.get("audience"))
    ]
    others = asking(Segment.objects.filter(environment=environment).exclude(pk=segment.pk), "conditions")
    users += [f"segment {other.key}" for other in others if segment.key in segments_in(other.conditions)]
    return users
