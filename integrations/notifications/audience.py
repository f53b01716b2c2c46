"""Who is told of an event: whoever owns the thing, else whoever made it; whom it concerns; and whoever follows it."""

from collections.abc import Collection, Iterable, Iterator, Sequence

from django.db.models import QuerySet
from django.db.models.fields.json import KeyTransform

from audit.models import Entry
from integrations.models import Follow, Notification
from integrations.subjects import concerned_by, owners_of, present_tags_of
from tenancy import access
from tenancy.callers.principals import principal_of_user
from tenancy.models import User

_Kind, _Why = Follow.Kind, Notification.Why
_Thing = tuple[str, str, str]


def small(rows: QuerySet[Entry]) -> QuerySet[Entry]:
    """The rows as `audiences_of` takes them: with their tags, and without documents, which can have megabytes."""
    said = {f"tags_{state}": KeyTransform("tags", state) for state in ("before", "after")}
    return rows.defer("before", "after", "changes").annotate(**said)


def audiences_of(entries: Sequence[Entry]) -> dict[int, dict[int, str]]:
    """Return by the row's position the people, by id, and why each is told. The rows are of one organization.

    Nobody is told of what they did themselves, or of what they may not see. The queries do not grow with the rows,
    but with the things that they are about.
    """
    if not entries:
        return {}
    organization_id = entries[0].organization_id
    told: dict[int, dict[int, str]] = {entry.position: {} for entry in entries}
    for entry, user_id in _followers(organization_id, entries):
        told[entry.position][user_id] = _Why.FOLLOWED
    makers = _makers(organization_id, entries)
    # Most rows of a run are on few things.
    things = {_thing(entry): entry for entry in entries}
    mine = {thing: owners_of(entry) or makers.get(thing, set()) for thing, entry in things.items()}
    # Whom an act concerns is looked up once for a thing and an act: it takes queries for each.
    acts = {(_thing(entry), entry.action): entry for entry in entries}
    concern = {act: set(concerned_by(entry)) for act, entry in acts.items()}
    for entry in entries:
        for user_id in (*mine[_thing(entry)], *concern[_thing(entry), entry.action]):
            told[entry.position][user_id] = _Why.MINE
        if entry.actor_kind == "user" and entry.actor_id.isdecimal():
            told[entry.position].pop(int(entry.actor_id), None)
    concerned = {user_id for people in told.values() for user_id in people}
    seen = _seen_by(concerned, entries)
    return {
        entry.position: {
            user_id: why for user_id, why in told[entry.position].items() if entry.pk in seen.get(user_id, ())
        }
        for entry in entries
    }


def _thing(entry: Entry) -> _Thing:
    return entry.project, entry.entity_type, entry.entity_key


def _followers(organization_id: int | None, entries: Iterable[Entry]) -> Iterator[tuple[Entry, int]]:
    projects = {entry.project for entry in entries}
    keys = {entry.entity_key for entry in entries}
    here = Follow.objects.filter(organization=organization_id, project__in=projects)
    by_thing: dict[_Thing, list[int]] = {}
    for project, kind, key, user_id in (
        here.exclude(kind=_Kind.TAG).filter(key__in=keys).values_list("project", "kind", "key", "user_id")
    ):
        by_thing.setdefault((project, kind, key), []).append(user_id)
    by_tag: dict[tuple[str, str], list[int]] = {}
    for project, tag, user_id in here.filter(kind=_Kind.TAG).values_list("project", "key", "user_id"):
        by_tag.setdefault((project, tag), []).append(user_id)
    tagged = {project for project, _ in by_tag}
    # Most rows of a run are on few things.
    present: dict[_Thing, set[str]] = {}
    for entry in entries:
        for user_id in by_thing.get(_thing(entry), ()):
            yield entry, user_id
        for tag in _tags(entry, present) if entry.project in tagged else ():
            for user_id in by_tag.get((entry.project, tag), ()):
                yield entry, user_id


def _tags(entry: Entry, present: dict[_Thing, set[str]]) -> set[str]:
    said = [getattr(entry, f"tags_{state}") for state in ("before", "after")]
    if any(isinstance(tags, list) for tags in said):
        return {str(tag) for tags in said if isinstance(tags, list) for tag in tags}
    if _thing(entry) not in present:
        present[_thing(entry)] = present_tags_of(entry)
    return present[_thing(entry)]


def _makers(organization_id: int | None, entries: Iterable[Entry]) -> dict[_Thing, set[int]]:
    """Who made each thing, as the log has it: the people who did the first act on it."""
    made = Entry.objects.filter(
        organization_id=organization_id,
        entity_type__in={entry.entity_type for entry in entries},
        entity_key__in={entry.entity_key for entry in entries},
        action__in={f"{entry.entity_type}.created" for entry in entries},
        actor_kind="user",
    )
    found: dict[_Thing, set[int]] = {}
    rows = made.values_list("project", "entity_type", "entity_key", "action", "actor_id")
    for project, entity, key, action, actor_id in rows:
        if action == f"{entity}.created" and actor_id.isdecimal():
            found.setdefault((project, entity, key), set()).add(int(actor_id))
    return found


def _seen_by(user_ids: Collection[int], entries: Sequence[Entry]) -> dict[int, set[int]]:
    """Return by person the rows that they may see."""
    if not user_ids:
        return {}
    people = User.objects.filter(pk__in=user_ids, is_active=True, service_of__isnull=True)
    rows = Entry.objects.filter(pk__in=[entry.pk for entry in entries])
    return {
        user.pk: set(rows.filter(access.audit_scope(principal_of_user(user))).values_list("pk", flat=True))
        for user in people
    }
