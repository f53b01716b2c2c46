"""What the apps above know of the things that events are about. Each registers its own in `ready()`."""

from collections.abc import Callable, Iterable

from audit.models import Entry

TagsOf = Callable[[Entry], Iterable[str]]
_tags: dict[str, TagsOf] = {}


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
    find = _tags.get(entry.entity_type)
    return set(find(entry)) if find is not None else set()
