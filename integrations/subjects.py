"""What the apps above know of the things that events are about. Each registers its own in `ready()`."""

from collections.abc import Callable, Collection, Iterable

from django.db.models import Q

from audit.models import Entry

TagsOf = Callable[[Entry], Iterable[str]]
OwnersOf = Callable[[Entry], Iterable[int]]
_tags: dict[str, TagsOf] = {}
_owners: dict[str, OwnersOf] = {}


def register_tags(entity: str, tags_of: TagsOf) -> None:
    """Say how the tags of such a thing are found where the event's own documents do not carry them."""
    _tags[entity] = tags_of


Concerned = Callable[[Entry], Iterable[int]]
_concerned: list[Concerned] = []


def register_concerned(find: Concerned) -> None:
    """Say whom an event concerns, beside those who made the thing and those who follow it: ids of users."""
    if find not in _concerned:
        _concerned.append(find)


def concerned_by(entry: Entry) -> set[int]:
    return {user_id for find in _concerned for user_id in find(entry)}


def tags_of(entry: Entry) -> set[str]:
    """The tags of the thing before and after the event; those it has now where the event does not say."""
    states = [state for state in (entry.before, entry.after) if isinstance(state, dict) and "tags" in state]
    if states:
        return {str(tag) for state in states for tag in state["tags"]}
    return present_tags_of(entry)


def present_tags_of(entry: Entry) -> set[str]:
    """The tags that the thing has now. It reads none of the event's documents."""
    find = _tags.get(entry.entity_type)
    return set(find(entry)) if find is not None else set()


def register_owners(entity: str, owners_of: OwnersOf) -> None:
    """Say how the ids of the people are found who look after such a thing now."""
    _owners[entity] = owners_of


def owners_of(entry: Entry) -> set[int]:
    """The people who look after the thing that the event is about; none where nobody was named."""
    find = _owners.get(entry.entity_type)
    return set(find(entry)) if find is not None else set()


def says_tags(tags: Collection[str]) -> Q:
    """Rows whose own documents carry one of the tags."""
    wanted = list(tags)
    return Q(before__tags__has_any_keys=wanted) | Q(after__tags__has_any_keys=wanted)


def says_no_tags() -> Q:
    """Rows whose documents are silent on tags, of things of which somebody knows them: `present_tags_of` tells."""
    silent = [Q(**{f"{state}__isnull": True}) | ~Q(**{f"{state}__has_key": "tags"}) for state in ("before", "after")]
    return Q(entity_type__in=list(_tags)) & silent[0] & silent[1]
