"""A person in flags, segments and their history: handed out, or taken out of targets, lists and conditions."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection, transaction
from django.db.models import QuerySet

import audit.services
from audit.actors import Actor
from flags.documents import flag_resource
from flags.models import Change, FlagConfig, Rule, Segment
from flags.selectors import configs
from flags.services import gate, version_log
from flags.services.flags import update_flag
from flags.services.segments import update_segment
from tenancy.errors import ServiceError
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
        refused = []
        for key in [config.flag.key for config in _configs(scope, person)]:
            try:
                with gate.acting("person.erase"):
                    changed = _erase_from_flag(actor, scope, key, person)
            except ServiceError as error:
                refused.append(Found("flags", 1, f"{key} in {scope.key}: {error.problems[0].detail}"))
            else:
                targets, rules = targets + ("targets" in changed), rules + ("rules" in changed)
        return [Found("targets", targets), Found("rules", rules), *refused]


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
        refused = []
        for key in [segment.key for segment in _segments(scope, person)]:
            try:
                with gate.acting("person.erase"):
                    count += _erase_from_segment(actor, scope, key, person)
            except ServiceError as error:
                refused.append(Found("segments", 1, f"{key} in {scope.key}: {error.problems[0].detail}"))
        return [Found("segments", count), *refused]


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
def _erase_from_flag(actor: Actor, environment: Environment, key: str, person: Person) -> Collection[str]:
    """Return the fields that had the id. The flag is read under its writers' lock: no change made meanwhile is lost."""
    version_log.lock_project(environment.project)
    config = configs(environment).filter(flag__key=key).first()
    if config is None:
        return ()
    change, resource = {}, flag_resource(config)
    for name in ("targets", "rules"):
        changed = without(resource[name], person)
        if changed != resource[name]:
            change[name] = changed
    if change and config.flag.is_archived:
        _change_archived(actor, config, change)
    elif change:
        update_flag(actor=actor, environment=environment, key=key, payload=change, version=None, reason=_REASON)
    return change.keys()


@transaction.atomic
def _erase_from_segment(actor: Actor, environment: Environment, key: str, person: Person) -> bool:
    """Return whether the segment had the id. It is read under its writers' lock, as a flag is."""
    version_log.lock_environment(environment)
    segment = Segment.objects.filter(environment=environment, key=key).first()
    if segment is None:
        return False
    now = {name: getattr(segment, name) for name in (*_LISTS, "conditions")}
    changed = without(now, person)
    if changed == now:
        return False
    update_segment(actor=actor, environment=environment, key=key, payload=changed, version=None, reason=_REASON)
    return True


def _change_archived(actor: Actor, config: FlagConfig, change: dict[str, Any]) -> None:
    """Change an archived flag, which no service may change and nobody is served. Its project is locked."""
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
        at=config.environment,
        key=config.flag.key,
        before=before,
        after=flag_resource(config),
        reason=_REASON,
    )
