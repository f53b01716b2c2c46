"""A person in flags, segments and their history: handed out, or taken out of targets, lists and conditions."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection, transaction
from django.db.models import QuerySet

import audit.services
from audit.actors import Actor
from flags.documents import flag_resource
from flags.models import Change, FlagConfig, Rule, Segment
from flags.selectors import configs
from flags.services import version_log
from flags.services.flags import update_flag
from flags.services.segments import update_segment
from tenancy.models import Environment
from tenancy.privacy.people import USER_ID, Found, Person
from tenancy.privacy.places import containing

_REASON = "a person was erased"
_LISTS = ("included", "excluded")


class FlagsPlace:
    """Targets and conditions of flags, archived ones too."""

    is_per_environment = True

    def read(self, person: Person, scope: Environment) -> Iterator[dict[str, Any]]:
        for config in _configs(scope, person):
            resource = flag_resource(config)
            if without(resource["targets"], person) != resource["targets"]:
                yield {"place": "targets", "flag": config.flag.key, "targets": _named(resource["targets"], person)}
            for rule in resource["rules"]:
                conditions = rule["conditions"]
                if without(conditions, person) != conditions:
                    yield {"place": "rules", "flag": config.flag.key, "rule": rule["name"], "conditions": conditions}

    def erase(self, person: Person, scope: Environment, actor: Actor) -> list[Found]:
        targets = rules = 0
        for config in _configs(scope, person):
            resource = flag_resource(config)
            change: dict[str, Any] = {}
            for name in ("targets", "rules"):
                changed = without(resource[name], person)
                if changed != resource[name]:
                    change[name] = changed
            if not change:
                continue
            if config.flag.is_archived:
                _change_archived(actor, config, change)
            else:
                update_flag(
                    actor=actor, environment=scope, key=config.flag.key, payload=change, version=None, reason=_REASON
                )
            targets, rules = targets + ("targets" in change), rules + ("rules" in change)
        return [Found("targets", targets), Found("rules", rules)]


class SegmentsPlace:
    """Lists and conditions of segments."""

    is_per_environment = True

    def read(self, person: Person, scope: Environment) -> Iterator[dict[str, Any]]:
        for segment in _segments(scope, person):
            lists = [name for name in _LISTS if person.kind == USER_ID and person.id in getattr(segment, name)]
            conditions = segment.conditions if without(segment.conditions, person) != segment.conditions else None
            if lists or conditions:
                yield {"place": "segments", "segment": segment.key, "lists": lists, "conditions": conditions}

    def erase(self, person: Person, scope: Environment, actor: Actor) -> list[Found]:
        count = 0
        for segment in _segments(scope, person):
            now = {name: getattr(segment, name) for name in (*_LISTS, "conditions")}
            changed = without(now, person)
            if changed != now:
                update_segment(
                    actor=actor, environment=scope, key=segment.key, payload=changed, version=None, reason=_REASON
                )
                count += 1
        return [Found("segments", count)]


class VersionLogPlace:
    """What evaluators got before. The id is taken out of each step; what the others got there stays as it was."""

    is_per_environment = True

    def read(self, person: Person, scope: Environment) -> Iterator[dict[str, Any]]:
        for step in _steps(scope, person).iterator(chunk_size=200):
            if without(step.document, person) != step.document:
                yield {"place": "versionLog", "entity": step.entity, "key": step.key, "version": step.version}

    def erase(self, person: Person, scope: Environment, actor: Actor) -> list[Found]:  # noqa: ARG002 - as the protocol
        count = 0
        for pk in list(_steps(scope, person).values_list("pk", flat=True)):
            step = Change.objects.get(pk=pk)
            changed = without(step.document, person)
            if changed != step.document:
                with _rewriting():
                    Change.objects.filter(pk=step.pk).update(document=changed)
                count += 1
        return [Found("versionLog", count)]


@contextmanager
def _rewriting() -> Iterator[None]:
    """A transaction in which the log's trigger lets a document be changed."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL flagship.erase = 'allowed'")
        yield
        # A savepoint's end would not: what follows in an outer transaction may rewrite nothing.
        cursor.execute("SET LOCAL flagship.erase = ''")


def without(document: Any, person: Person) -> Any:
    """The document without the person: in lists of users, and in conditions on the attribute that has the id.

    A condition whose only value was the id holds for nobody, or for everybody if it excluded, as it did for the others.
    An experiment's audience is left alone: results rest on it.
    """
    if isinstance(document, list):
        cleaned = [without(item, person) for item in document]
        # A target without users is none.
        return [item for item, was in zip(cleaned, document, strict=True) if not _is_emptied(item, was)]
    if not isinstance(document, dict):
        return document
    if "operator" in document:
        return _condition_without(document, person)
    found = {}
    for name, value in document.items():
        if name == "experiment":
            found[name] = value
        elif name in {"userIds", *_LISTS} and isinstance(value, list):
            found[name] = [user for user in value if user != person.id] if person.kind == USER_ID else value
        else:
            found[name] = without(value, person)
    return found


def _is_emptied(item: Any, was: Any) -> bool:
    return isinstance(item, dict) and item.get("userIds") == [] and was.get("userIds") != []


def _condition_without(condition: dict[str, Any], person: Person) -> dict[str, Any]:
    value = condition.get("value")
    if condition.get("attribute") != person.kind:
        return condition
    if isinstance(value, list):
        return {**condition, "value": [one for one in value if one != person.id]}
    if value != person.id:
        return condition
    is_negated = str(condition["operator"]).startswith("not_")
    return {**condition, "operator": "not_in" if is_negated else "in", "value": []}


def _named(targets: list[dict[str, Any]], person: Person) -> list[str]:
    return [target["variant"] for target in targets if person.id in target["userIds"]]


def _configs(environment: Environment, person: Person) -> list[FlagConfig]:
    rules = containing(Rule.objects.filter(config__environment=environment), person, "conditions")
    targets = containing(environment.flag_configs.all(), person, "targets")
    pks = {*targets.values_list("pk", flat=True), *rules.values_list("config", flat=True)}
    return list(configs(environment).filter(pk__in=pks))


def _segments(environment: Environment, person: Person) -> list[Segment]:
    rows = Segment.objects.filter(environment=environment).order_by("key")
    return list(containing(rows, person, "included", "excluded", "conditions"))


def _steps(environment: Environment, person: Person) -> QuerySet[Change]:
    rows = containing(Change.objects.filter(environment=environment), person, "document")
    return rows.order_by("version")


@transaction.atomic
def _change_archived(actor: Actor, config: FlagConfig, change: dict[str, Any]) -> None:
    """Change an archived flag, which no service may change and nobody is served."""
    locked = version_log.lock_environment(config.environment)
    before = flag_resource(config)
    config.targets = change.get("targets", config.targets)
    config.version += 1
    config.save(update_fields=["targets", "version", "updated_at"])
    conditions = {rule["id"]: rule["conditions"] for rule in change.get("rules", [])}
    for rule in config.rules.all():
        rule.conditions = conditions.get(str(rule.pk), rule.conditions)
        rule.save(update_fields=["conditions"])
    audit.services.record(
        actor=actor,
        action="flag.updated",
        at=locked,
        key=config.flag.key,
        before=before,
        after=flag_resource(config),
        reason=_REASON,
    )
