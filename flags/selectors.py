"""Reading flags, segments and layers of an environment that came from `tenancy.access`."""

from collections.abc import Iterator, Sequence
from typing import Any

from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast

from analytics.models import UnknownFlag
from analytics.usage import reading
from audit.models import Entry
from flags.models import Flag, FlagConfig, Layer, Rule, Segment
from tenancy.errors import NotFound
from tenancy.models import Environment, Project, User

# A flag is in one of on, off, killed and archived. On means enabled and not killed; active is all but archived.
_STATES = {
    "active": Q(flag__is_archived=False),
    "archived": Q(flag__is_archived=True),
    "on": Q(flag__is_archived=False, kill_switch_variant="", is_enabled=True),
    "off": Q(flag__is_archived=False, kill_switch_variant="", is_enabled=False),
    "killed": Q(flag__is_archived=False) & ~Q(kill_switch_variant=""),
    "all": Q(),
}
STATES = list(_STATES)
_MOST_WORDS = 10


def configs(environment: Environment) -> QuerySet[FlagConfig]:
    """The environment's flags with what their resource needs, in two queries however many there are.

    Each row refers to the object `environment` itself.
    """
    found = environment.flag_configs.select_related("flag").prefetch_related("rules")
    # The project follows from the environment. Naming it lets the index on the key do the ordering.
    return found.filter(flag__project=environment.project_id).order_by("flag__key")


def configs_of(environment: Environment, pks: Sequence[int]) -> list[tuple[FlagConfig, list[Rule]]]:
    """One page of flags with their rules, in the order of `pks`, by two plain queries."""
    rows = environment.flag_configs.select_related("flag").in_bulk(pks)
    rules: dict[int, list[Rule]] = {}
    for rule in Rule.objects.filter(config__in=pks).order_by("priority"):
        rules.setdefault(rule.config_id, []).append(rule)
    # A flag that was deleted meanwhile is left out.
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
    kind: str | None = None,
    owner: str | None = None,
    team: str | None = None,
    prefix: str | None = None,
    search: str | None = None,
) -> QuerySet[FlagConfig]:
    """Filter: `state` is one of STATES, active by default; `search` as in `flags_matching`."""
    found = configs(environment).filter(in_state(state or "active"))
    if tag:
        found = found.filter(flag__tags__contains=[tag])
    for column, value in (("type", type), ("kind", kind), ("owner", owner), ("team", team)):
        if value:
            found = found.filter(**{f"flag__{column}": value})
    if prefix:
        found = found.filter(flag__key__startswith=prefix)
    return found.filter(flags_matching(search or ""))


def in_state(state: str) -> Q:
    """The condition on flags' configurations that holds for those in this state, one of STATES."""
    return _STATES[state]


def flags_matching(text: str) -> Q:
    """The condition on flags' configurations for a search: each word is in the key or name, or is a tag."""
    found = Q()
    for word in _words(text):
        found &= Q(flag__key__icontains=word) | Q(flag__name__icontains=word) | Q(flag__tags__contains=[word])
    # A tag may hold a space.
    return found | Q(flag__tags__contains=[text]) if found else found


def segments_matching(text: str) -> Q:
    """The condition on segments for a search: each word is in the key or name."""
    found = Q()
    for word in _words(text):
        found &= Q(key__icontains=word) | Q(name__icontains=word)
    return found


def _words(text: str) -> list[str]:
    """Split a search into words. Past the limit the rest counts as one, which bounds the size of the query."""
    return text.split(maxsplit=_MOST_WORDS - 1)


def get_segment(environment: Environment, key: str) -> Segment:
    """Raises NotFound."""
    segment = Segment.objects.filter(environment=environment, key=key).first()
    if segment is None:
        raise NotFound(f"There is no segment {key!r} in {environment.key}.", attr="segmentKey")
    return segment


def search_segments(environment: Environment, search: str | None = None) -> QuerySet[Segment]:
    return Segment.objects.filter(segments_matching(search or ""), environment=environment).order_by("key")


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
    """Yield each condition of a stored tree, or of a list of trees, in the order in which they are written."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting += reversed(node)
        elif isinstance(node, dict):
            groups = [node[name] for name in ("all", "any", "not") if name in node]
            if groups and "operator" not in node:
                waiting += reversed(groups)
            else:
                yield node


def segments_in(tree: Any) -> list[str]:
    """Return the keys of the segments that a stored tree of conditions asks for."""
    asked = [node for node in conditions_in(tree) if node.get("operator") in {"in_segment", "not_in_segment"}]
    return list(dict.fromkeys(key for node in asked for key in node.get("value") or [] if isinstance(key, str)))


def segment_users(segment: Segment) -> list[str]:
    """Name what uses the segment: rules (of archived flags too), audiences of experiments, and segments."""
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


def unknown_flags(environment: Environment) -> QuerySet[UnknownFlag]:
    """The keys that were asked for and that no flag has, by source, the latest first. A flag may be new since."""
    there = Flag.objects.filter(project=environment.project_id).values("key")
    return reading.unknown_flags(environment.pk).exclude(flag_key__in=there)


def teams_in(project: Project) -> list[str]:
    """The teams that look after active flags of the project."""
    return _named_in(project, "team")


def owners_in(project: Project) -> list[str]:
    """The user names of the people who look after active flags of the project."""
    return _named_in(project, "owner")


def _named_in(project: Project, column: str) -> list[str]:
    rows = Flag.objects.filter(project=project, is_archived=False).exclude(**{column: ""})
    return list(rows.order_by(column).values_list(column, flat=True).distinct())


def flag_tags(entry: Entry) -> list[str]:
    """The present tags of the flag that an audit row is about; none where it is gone."""
    return _flag_in(entry).values_list("tags", flat=True).first() or []


def flag_owners(entry: Entry) -> list[int]:
    """Who owns the flag that an audit row is about, as ids of users; none where nobody does or the flag is gone."""
    owners = _flag_in(entry).exclude(owner="").values("owner")
    return list(User.objects.filter(username__in=owners).values_list("pk", flat=True))


def _flag_in(entry: Entry) -> QuerySet[Flag]:
    rows = Flag.objects.filter(project__organization=entry.organization_id, project__key=entry.project)
    return rows.filter(key=entry.entity_key)
