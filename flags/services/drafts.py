"""Drafts: a flag's unsaved rows, made from what was sent, and checked as a whole before anything is written."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db.models import JSONField, Model
from openflagship.engine import BUCKETS, DecodeError, decode_flag
from openflagship.ids import uuid7

from flags.documents import allocate, flag_document, rollout_of, weights_of
from flags.fields import PLAIN_FIELDS, RESOURCE_FIELDS, RESTORED_FIELDS
from flags.models import MAX_LINKS, Flag, FlagConfig, Rule
from flags.selectors import get_config
from flags.services.costs import cost_problems
from flags.services.prerequisites import prerequisite_problems
from tenancy import access
from tenancy.errors import Conflict, Invalid, Problem
from tenancy.models import Environment
from tenancy.refusals import refuse_if_any, unknown_fields
from tenancy.services.rows import camel

_WEB_ADDRESS = re.compile(r"https?://[^\s/?#]+[^\s]*\Z", re.IGNORECASE)
# What the API calls a column.
_NAMES = {field.column: field.name for field in PLAIN_FIELDS}
BOOLEAN_VARIANTS = [{"key": "control", "value": False}, {"key": "treatment", "value": True}]


@dataclass(slots=True)
class Draft:
    """A flag, its configuration and its rules as they would be stored. The rules are in the order they were sent."""

    flag: Flag
    config: FlagConfig
    rules: list[Rule]

    @property
    def document(self) -> dict[str, Any]:
        return flag_document(self.config, self.rules)


def draft_of(environment: Environment, key: str, payload: Mapping[str, Any]) -> Draft:
    """Return the flag as a PATCH would leave it, checked and not stored. Raises what `update_flag` raises."""
    config = get_config(environment, key)
    refuse_archived(config.flag)
    draft = Draft(config.flag, config, list(config.rules.all()))
    split_before = split_of(config)
    refuse_immutable(config.flag, payload)
    refuse_if_any(apply(draft, payload))
    refuse_if_any(check(draft))
    refuse_split_change(draft, split_before)
    return draft


def refuse_archived(flag: Flag) -> None:
    if flag.is_archived:
        raise Conflict(f"{flag.key!r} is archived; restore it before changing it.", code="flag_archived")


def apply(draft: Draft, payload: Mapping[str, Any]) -> list[Problem]:
    """Put the payload's fields onto the draft's unsaved rows. Return the problems that prevent that.

    A changed split moves the fewest buckets from the ranges that the draft had.
    """
    flag, config = draft.flag, draft.config
    problems = unknown_fields(payload, (field.name for field in RESOURCE_FIELDS))
    problems += _owner_problems(flag, payload.get("owner"))
    for field in PLAIN_FIELDS:
        if field.name in payload:
            field.write(config, payload[field.name])
    # Each tag once, in the order given.
    flag.tags = list(dict.fromkeys(flag.tags))
    variants = [variant["key"] for variant in flag.variants]
    if "rollout" in payload:
        weights, found = weights_of(payload["rollout"], variants=variants, attr="rollout")
        problems += found
        if not found and weights != _weights(config.allocation, variants):
            config.allocation = allocate(config.allocation, weights)
    if "rules" in payload:
        draft.rules, found = _rules(draft, payload["rules"], variants)
        problems += found
    return problems


def _owner_problems(flag: Flag, owner: Any) -> list[Problem]:
    """Check a new owner alone: one who has left the project since does not prevent other changes."""
    if not owner or owner == flag.owner or access.people_of(flag.project).filter(username=owner).exists():
        return []
    detail = f"Nobody called {owner!r} has a role in this project. Use a member's user name, or name a team."
    return [Problem("owner", "unknown_member", detail)]


def _link_problems(links: Any) -> list[Problem]:
    if not isinstance(links, list) or len(links) > MAX_LINKS:
        return [Problem("links", "invalid", f"Send a list of at most {MAX_LINKS} links, each with a title and a url.")]
    problems = []
    for index, link in enumerate(links):
        url = link.get("url") if isinstance(link, dict) else None
        if not isinstance(url, str) or len(url) > 2000 or not _WEB_ADDRESS.match(url):
            detail = "Send an address that begins with https:// or http://, of at most 2,000 characters."
            problems.append(Problem(f"links[{index}].url", "invalid", detail))
        elif not isinstance(title := link.get("title", ""), str) or len(title) > 200 or link.keys() - {"title", "url"}:
            detail = "A link has a url and a title of at most 200 characters, and nothing else."
            problems.append(Problem(f"links[{index}]", "invalid", detail))
    return problems


def _weights(allocation: list[list[Any]], variants: list[str]) -> list[tuple[str, int]]:
    return weights_of(rollout_of(allocation), variants=variants, attr="")[0]


def _rules(draft: Draft, sent: list[dict[str, Any]], variants: list[str]) -> tuple[list[Rule], list[Problem]]:
    existing = {rule.pk: rule for rule in draft.rules}
    rules: list[Rule] = []
    problems: list[Problem] = []
    is_new_flag = draft.flag._state.adding  # noqa: SLF001 - Django's documented state
    for index, item in enumerate(sent):
        rule = existing.get(UUID(str(item["id"]))) if item.get("id") and not is_new_flag else None
        # The rules of a new flag get new ids, so that a flag that was read elsewhere can be created here.
        if item.get("id") and rule is None and not is_new_flag:
            problems.append(
                Problem(
                    f"rules[{index}].id",
                    "unknown_rule",
                    "The flag has no rule with that id; leave it out for a new one.",
                )
            )
            continue
        before = rule.allocation if rule else []
        rule = rule or Rule(pk=uuid7(), config=draft.config)
        rule.priority = item["priority"]
        rule.name = item.get("name", "")
        rule.conditions = item.get("conditions", [])
        rule.variant = item.get("variant") or ""
        rule.allocation = []
        if ("rollout" in item) == bool(rule.variant):
            problems.append(
                Problem(
                    f"rules[{index}]", "variant_or_rollout", "Give the rule either a variant or a rollout, not both."
                )
            )
        elif "rollout" in item:
            weights, found = weights_of(item["rollout"], variants=variants, attr=f"rules[{index}].rollout")
            problems += found
            if not found:
                rule.allocation = before if weights == _weights(before, variants) else allocate(before, weights)
        rules.append(rule)
    return rules, problems


def check(draft: Draft) -> list[Problem]:
    """Return every problem of the draft, each with the path of the field as it was sent."""
    return check_alone(draft) or prerequisite_problems(draft.config)


def check_alone(draft: Draft) -> list[Problem]:
    """Return the problems that the draft has by itself, by the contract and by its columns."""
    try:
        decode_flag(draft.document)
    except DecodeError as error:
        return [_as_sent(draft, found.path, found.code, found.message) for found in error.problems]
    problems = [
        _as_sent(draft, found.attr or "", found.code, found.detail)
        for found in cost_problems(draft.document["rules"], "rules")
    ]
    problems += _link_problems(draft.flag.links)
    problems += _column_problems(draft.flag, [field.column for field in PLAIN_FIELDS if field.is_shared])
    problems += _column_problems(draft.config, [field.column for field in PLAIN_FIELDS if not field.is_shared])
    for index, rule in enumerate(draft.rules):
        problems += _column_problems(rule, ("name", "priority", "variant"), prefix=f"rules[{index}].")
    return problems


def _column_problems(row: Model, columns: Collection[str], prefix: str = "") -> list[Problem]:
    """Check the lengths and ranges of columns, which the contract does not limit. JSON columns have none."""
    fields = row._meta.fields  # noqa: SLF001 - Django's documented API
    others = [field.name for field in fields if field.name not in columns or isinstance(field, JSONField)]
    try:
        row.clean_fields(exclude=others)
    except ValidationError as error:
        return [
            Problem(prefix + _NAMES.get(field, camel(field)), found.code or "invalid", " ".join(found.messages))
            for field, errors in error.error_dict.items()
            for found in errors
        ]
    return []


def _as_sent(draft: Draft, path: str, code: str, detail: str) -> Problem:
    """A problem of the document as one of the fields that were sent; the running experiment's are not among them."""
    experiment = draft.config.experiment or {}
    if path == "experiment.priority":
        priority = experiment["priority"]
        index = next(index for index, rule in enumerate(draft.rules) if rule.priority == priority)
        detail = f"Priority {priority} is the running experiment's place; give the rule another."
        return Problem(f"rules[{index}].priority", code, detail)
    if path.startswith("experiment.") and code == "unknown_variant":
        return Problem("variants", code, f"The running experiment needs its variants: {detail}")
    return Problem(re.sub(r"(^|\.)allocation\b", r"\1rollout", path), code, detail)


def refuse_immutable(flag: Flag, payload: Mapping[str, Any]) -> None:
    for name, there in (("key", flag.key), ("type", flag.type)):
        if payload.get(name, there) != there:
            raise Invalid(f"The {name} of a flag never changes; create another flag.", attr=name, code="immutable")


def split_of(config: FlagConfig) -> tuple[Any, ...]:
    """Return what decides which unit gets which variant of a split."""
    return (config.allocation, config.salt, config.bucket_by)


def refuse_split_change(draft: Draft, before: tuple[Any, ...]) -> None:
    """Refuse a new split while an experiment uses the flag: it would mix two assignments in one result.

    The rollout may change beneath an experiment that has a split of its own, for those who take no part.
    """
    experiment, after = draft.config.experiment, split_of(draft.config)
    if not experiment:
        return
    refuse_several_units(draft.config, attr="bucketBy")
    if after == before:
        return
    if after[1:] == before[1:] and experiment.get("allocation") is not None and not _takes_everybody(experiment):
        return
    raise Conflict(
        "An experiment is running on this flag, so its split is locked. Complete the experiment, or restart it "
        "with the new split.",
        code="rollout_conflict",
        attr="bucketBy" if draft.config.bucket_by != before[2] else "rollout",
    )


def is_rollout_locked(config: FlagConfig) -> bool:
    """Whether every change of the rollout would be refused, because a running experiment uses it."""
    experiment = config.experiment
    return experiment is not None and (experiment.get("allocation") is None or _takes_everybody(experiment))


def _takes_everybody(experiment: Mapping[str, Any]) -> bool:
    """Whether the rollout serves nobody while the experiment runs, so that a change of it must mean the experiment."""
    buckets = sum(end - start for start, end in experiment["ranges"])
    return buckets == BUCKETS and experiment["audience"] is None


def refuse_several_units(config: FlagConfig, *, attr: str) -> None:
    """Refuse an experiment on a flag with several names in `bucketBy`. Raises Invalid."""
    if not isinstance(config.bucket_by, str):
        raise Invalid(
            f"An experiment counts one kind of unit, and {config.flag.key!r} buckets by the first of "
            f"{', '.join(config.bucket_by)}; name a single attribute in its bucketBy.",
            attr=attr,
            code="one_unit_for_experiments",
        )


def restore(draft: Draft, document: Mapping[str, Any]) -> None:
    """Put a document of the version log onto the draft, with its ranges, its salt and the ids of its rules.

    The kill switch and the experiment stay as they are: other acts change those.
    """
    config = draft.config
    for field in RESTORED_FIELDS:
        if field.column:
            field.write(config, field.find(document, draft.flag))
    draft.rules = [
        Rule(
            pk=UUID(rule["id"]),
            config=config,
            priority=rule["priority"],
            name=rule["name"],
            conditions=rule["conditions"],
            variant=rule.get("variant", ""),
            allocation=rule.get("allocation", []),
        )
        for rule in document["rules"]
    ]
