"""Search everywhere (Ctrl-K): it finds by name what the lists show this person, and nothing else."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import reduce
from operator import or_
from typing import Any

from django.contrib import admin
from django.db.models import Case, IntegerField, Model, Q, QuerySet, Value, When
from django.http import HttpRequest, JsonResponse
from django.urls import reverse

from experiments.models import Experiment, Metric
from flags.models import Flag, FlagConfig, Layer, Segment
from flags.selectors import flags_matching, segments_matching
from flagship.console.navigation import pages
from tenancy.console_kit.context import bind_to_address, console_context
from tenancy.models import Credential, Environment, Membership, Project, ServiceAccount

_MOST_OF_A_KIND = 6
_MOST_WORDS = 5


@dataclass(frozen=True, slots=True)
class Hit:
    """One line of the answer."""

    kind: str
    icon: str
    title: str
    detail: str
    url: str


@dataclass(frozen=True, slots=True)
class Source:
    """A kind of things to search, through the access rules of its own list. Its first field is shown and ranked by."""

    kind: str
    icon: str
    model: type[Model]
    fields: tuple[str, ...]
    title: Callable[[Any], str]
    detail: Callable[[Any], str]
    # The condition of a search, if the app defines one. Otherwise each word must be in one of the fields.
    matching: Callable[[str], Q] | None = None
    per_environment: bool = False
    # Two rows with the same value are one thing in two environments; the search shows one of them.
    sameness: Callable[[Any], Any] = lambda row: row.pk


def _archived(flag: Flag) -> str:
    return " · archived" if flag.is_archived else ""


_SOURCES = (
    Source(
        "Flags", "flag", FlagConfig, ("flag__key", "flag__name"),
        lambda row: row.flag.key, lambda row: f"{row.flag.name}{_archived(row.flag)} · {row.environment}",
        matching=flags_matching, per_environment=True, sameness=lambda row: row.flag_id,
    ),
    Source(
        "Experiments", "science", Experiment, ("name", "config__flag__key"),
        lambda row: row.name, lambda row: f"{row.get_status_display()} · {row.environment}", per_environment=True,
    ),
    Source(
        "Segments", "groups", Segment, ("key", "name"),
        lambda row: row.key, lambda row: f"{row.name} · {row.environment}",
        matching=segments_matching, per_environment=True,
    ),
    Source(
        "Metrics", "monitoring", Metric, ("key", "name", "event_name"),
        lambda row: row.key, lambda row: f"{row.name} · {row.project}",
    ),
    Source(
        "Layers", "layers", Layer, ("key", "name"),
        lambda row: row.key, lambda row: f"{row.name} · {row.environment}", per_environment=True,
    ),
    Source(
        "People", "group", Membership, ("user__username", "user__email"),
        lambda row: row.user.get_username(), lambda row: f"{row.get_role_display()} · {row.organization}",
        sameness=lambda row: (row.user_id, row.organization_id),
    ),
    Source(
        "Service accounts", "smart_toy", ServiceAccount, ("username",),
        lambda row: row.username, lambda row: str(row.service_of),
    ),
    Source(
        "Keys", "key", Credential, ("name", "prefix"),
        lambda row: row.name, lambda row: f"{row.prefix}…",
    ),
    Source(
        "Environments", "dns", Environment, ("name", "key"),
        lambda row: row.name, lambda row: str(row.project),
    ),
    Source(
        "Projects", "folder", Project, ("name", "key"),
        lambda row: row.name, lambda row: str(row.organization),
    ),
)  # fmt: skip


def find(request: HttpRequest) -> JsonResponse:
    """Answer `{"results": [...]}` for `?q=`: pages first, then a few of each kind, the best match first."""
    if "environment" in request.GET:
        bind_to_address(request)
    words = request.GET.get("q", "").split()[:_MOST_WORDS]
    hits = [*_pages(request, words), *(hit for source in _SOURCES for hit in _hits(request, source, words))]
    answer = JsonResponse({"results": [asdict(hit) for hit in hits]})
    answer["Cache-Control"] = "no-store"
    return answer


def _pages(request: HttpRequest, words: list[str]) -> Iterator[Hit]:
    for page in pages(request):
        if all(word.lower() in page.title.lower() for word in words):
            yield Hit("Pages", page.icon, page.title, "", page.url)


def _hits(request: HttpRequest, source: Source, words: list[str]) -> Iterator[Hit]:
    page = admin.site.get_model_admin(source.model)
    if not words or not page.has_view_permission(request):
        return
    seen = set()
    for row in _ranked(request, source, page.get_queryset(request), words)[: 4 * _MOST_OF_A_KIND]:
        if source.sameness(row) in seen:
            continue
        seen.add(source.sameness(row))
        url = reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])  # noqa: SLF001 - Django's own way to a model's names
        yield Hit(source.kind, source.icon, source.title(row), source.detail(row), url)
        if len(seen) == _MOST_OF_A_KIND:
            return


def _matching(source: Source, words: list[str]) -> Q:
    if source.matching is not None:
        return source.matching(" ".join(words))
    found = Q()
    for word in words:
        found &= reduce(or_, (Q(**{f"{field}__icontains": word}) for field in source.fields))
    return found


def _ranked(request: HttpRequest, source: Source, rows: QuerySet[Any], words: list[str]) -> QuerySet[Any]:
    rows = rows.filter(_matching(source, words))
    first, whole = source.fields[0], " ".join(words)
    rank = Case(
        When(**{f"{first}__iexact": whole}, then=Value(0)),
        When(**{f"{first}__istartswith": whole}, then=Value(1)),
        default=Value(2),
        output_field=IntegerField(),
    )
    order: list[Any] = [rank, first]
    environment = console_context(request).environment
    if source.per_environment and environment is not None:
        # The environment in view comes first, so its row is the one that stays.
        order.append(Case(When(environment=environment, then=Value(0)), default=Value(1), output_field=IntegerField()))
    return rows.order_by(*order, "pk")
