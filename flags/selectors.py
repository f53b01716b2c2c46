"""Reading flags: always from an environment that `tenancy.access` has handed out."""

from django.db.models import Q, QuerySet

from flags.models import FlagConfig
from tenancy.errors import NotFound
from tenancy.models import Environment

STATES = ["active", "archived", "on", "off", "killed", "all"]


def configs(environment: Environment) -> QuerySet[FlagConfig]:
    """The environment's flags with what their resource needs, in two queries however many there are."""
    return (
        FlagConfig.objects.filter(environment=environment)
        .select_related("flag", "environment__project__organization")
        .prefetch_related("rules")
        .order_by("flag__key")
    )


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
