"""What a request changes, thing by thing: in sentences, and whom each reaches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlencode

from approvals.models import ChangeRequest
from audit.services import diff
from flags.admin.effects import effects
from flags.admin.flag.sentences import describe
from flags.admin.reach import Reach, reach_of_flag
from flags.admin.segments.segment_reach import reach_of_segment
from flags.models import FlagConfig, Segment
from tenancy.console_kit.changes import BOOKKEEPING
from tenancy.console_kit.pages import object_url
from tenancy.console_kit.proposals import AMENDED
from tenancy.models import Environment

_STATES: Final = (("before", "presentation_before"), ("after", "presentation"))
# People are counted one by one, which may take seconds: for so many things of one request.
_MOST_COUNTED: Final = 3
_FORMS: Final = ("flag", "segment")


@dataclass(frozen=True, slots=True)
class ShownPart:
    """One thing that the request changes: field by field, in sentences, and whom it reaches.

    `url` is the thing's page, and `edit_url` its form with what the request proposes in it; "" where there is none.
    """

    environment: str
    kind: str
    key: str
    changes: list[dict[str, Any]]
    sentences: list[str]
    reach: Reach | None
    url: str
    edit_url: str


def parts_of(thing: ChangeRequest, *, may_edit: bool) -> list[ShownPart]:
    project = thing.environment.project
    places = {row.key: row for row in project.environments.select_related("project__organization")}
    is_waiting = thing.state in {ChangeRequest.State.DRAFT, ChangeRequest.State.OPEN}
    rows = _rows_of(thing, list(places.values()))
    found = []
    for number, part in enumerate(thing.parts):
        place = places.get(part["environment"])
        row = rows.get((part["environment"], part["entity"], part["key"]))
        reach = _reach(place, row, part, is_counted=number < _MOST_COUNTED) if place and is_waiting else None
        before, after = ({**(part[state] or {}), **part[beside]} for state, beside in _STATES)
        url = object_url(row) if row is not None else ""
        is_form = may_edit and place == thing.environment and part["entity"] in _FORMS and part["before"] is not None
        is_edited = is_form and _is_updated(thing, part)
        found.append(
            ShownPart(
                part["environment"],
                part["entity"],
                part["key"],
                [change for change in diff(before, after) if change["path"] not in BOOKKEEPING],
                describe(part["after"]) if part["entity"] == "flag" and part["after"] is not None else [],
                reach,
                url,
                f"{url}?{urlencode({AMENDED: thing.pk})}" if is_edited and url else "",
            )
        )
    return found


def _is_updated(thing: ChangeRequest, part: Mapping[str, Any]) -> bool:
    """Whether one change of the request, and no other, sets fields of the thing."""
    resource = {"type": part["entity"], "key": part["key"]}
    return [each["action"] for each in thing.changes if each["resource"] == resource] == ["update"]


def _reach(
    place: Environment, row: FlagConfig | Segment | None, part: Mapping[str, Any], *, is_counted: bool
) -> Reach | None:
    before, after = part["before"], part["after"]
    if before is None or after is None:
        return None
    if part["entity"] == "segment":
        return reach_of_segment(row, before, after) if isinstance(row, Segment) and is_counted else None
    if part["entity"] != "flag":
        return None
    if not is_counted:
        return Reach(place, effects=effects(dict(before), dict(after)))
    found = reach_of_flag(place, before, after, is_shown=True)
    # The page asks for nothing: whoever reads it decides by its figures.
    return replace(found, phases=()) if found.is_nothing else found


def _rows_of(thing: ChangeRequest, places: Sequence[Environment]) -> dict[tuple[str, str, str], FlagConfig | Segment]:
    """The flags and segments of its parts that are there, by environment, kind and key."""
    keys = {kind: [part["key"] for part in thing.parts if part["entity"] == kind] for kind in _FORMS}
    flags = FlagConfig.objects.filter(environment__in=places, flag__key__in=keys["flag"])
    segments = Segment.objects.filter(environment__in=places, key__in=keys["segment"])
    found: dict[tuple[str, str, str], FlagConfig | Segment] = {
        (row.environment.key, "flag", row.flag.key): row for row in flags.select_related("environment", "flag")
    }
    return found | {(row.environment.key, "segment", row.key): row for row in segments.select_related("environment")}
