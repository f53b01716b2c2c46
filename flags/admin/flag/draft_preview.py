"""What a change would do, before it is saved. It uses the services' drafts and checks, and writes nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flags.admin.effects import Effect, asks_rules, effects
from flags.admin.flag.sentences import describe
from flags.admin.reach import dependents_of, unknown_reach
from flags.documents import flag_document
from flags.evaluation.impact import not_understood_by, phases_begun_by
from flags.models import Flag, FlagConfig, Segment
from flags.selectors import get_config, segments_in
from flags.services import drafts
from tenancy.errors import Problem, ServiceError
from tenancy.models import Environment


@dataclass(frozen=True, slots=True)
class Preview:
    """`sentences` describe the changed configuration, `effects` the users it moves, `problems` why it is refused.

    `strangers` are segments that rules ask for and that do not exist. `phases` are running experiments in which it
    begins a phase, with the users and days that the phase so far has gathered.
    `outdated` are connected services that are too old for it.
    """

    sentences: Sequence[str] = ()
    effects: Sequence[Effect] = ()
    problems: Sequence[Problem] = ()
    is_served_differently: bool = False
    strangers: Sequence[str] = ()
    phases: Sequence[Mapping[str, Any]] = ()
    outdated: Sequence[Mapping[str, Any]] = ()
    unknown: Sequence[str] = ()
    dependents: Sequence[str] = ()


def preview_change(environment: Environment, key: str, payload: Mapping[str, Any]) -> Preview:
    """Preview a change of an existing flag. Raises NotFound."""
    before = flag_document(get_config(environment, key))
    try:
        after = drafts.draft_of(environment, key, payload).document
    except ServiceError as error:
        return Preview(problems=error.problems)
    outdated = not_understood_by(environment, after) or ()
    # If the flag is off or killed before and after, `effects` is complete.
    is_different = before != after and (asks_rules(before) or asks_rules(after))
    return Preview(
        describe(after),
        effects(before, after),
        [],
        is_different,
        _strangers(environment, after),
        phases_begun_by(environment, before, after),
        outdated,
        unknown_reach(before, after),
        [config.flag.key for config in dependents_of(environment, key)] if is_different else (),
    )


def preview_new(environment: Environment, payload: Mapping[str, Any]) -> Preview:
    """Preview a flag that does not exist yet. It moves nobody."""
    key = str(payload.get("key") or "new-flag")
    flag = Flag(project=environment.project, key=key, name=key, type=payload["type"], variants=payload["variants"])
    config = FlagConfig(flag=flag, environment=environment, salt=key)
    draft = drafts.Draft(flag, config, [])
    content = {name: value for name, value in payload.items() if name not in {"key", "type"}}
    # A flag without a name takes its key as name.
    content["name"] = content.get("name") or key
    problems = drafts.apply(draft, content)
    problems = problems or drafts.check(draft)
    if problems:
        return Preview(problems=problems)
    document = draft.document
    outdated = not_understood_by(environment, document) or ()
    strangers = _strangers(environment, document)
    return Preview(describe(document), is_served_differently=True, strangers=strangers, outdated=outdated)


def _strangers(environment: Environment, document: Mapping[str, Any]) -> list[str]:
    used = segments_in([rule["conditions"] for rule in document["rules"]])
    known = set(Segment.objects.filter(environment=environment, key__in=used).values_list("key", flat=True))
    return [key for key in used if key not in known]
