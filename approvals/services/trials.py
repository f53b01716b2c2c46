"""Making the changes of a request: on trial, to see what they would serve, or for good."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from approvals import needs
from approvals.guard import ask_resource
from approvals.operations import Call, Change, as_json, get_operation, resource_now
from approvals.rules import rebasing
from approvals.rules.content import Part, hash_of, unseen_in
from approvals.rules.publishing import Ask
from audit.actors import Actor
from flags.services import gate
from tenancy.api.documents import checked
from tenancy.errors import Invalid, Problem, ServiceError
from tenancy.models import Environment
from tenancy.refusals import refuse_unknown


@dataclass(frozen=True, slots=True)
class Outcome:
    """What changes serve: the parts, by environment, their hash, and what the policies ask of them."""

    touched: Sequence[needs.Touched]
    content: str
    asks: Sequence[Ask]

    @property
    def parts(self) -> list[Part]:
        return [part for one in self.touched for part in one.parts]

    def stored(self) -> dict[str, Any]:
        """Return it as a request keeps it."""
        return {
            "parts": as_json([asdict(part) for part in self.parts]),
            "asks": [ask_resource(ask) for ask in self.asks],
            "content": self.content,
        }


def outcome_of(watch: gate.Watch, changes: Sequence[Change]) -> Outcome:
    touched = needs.touched_by(watch.pieces, watch.dealt)
    parts = [part for one in touched for part in one.parts]
    return Outcome(touched, hash_of(parts, unseen_in(as_json(changes), parts)), needs.asks_of(touched))


def on_trial(actor: Actor, environment: Environment, changes: Sequence[Change], reason: str) -> Outcome:
    """Make the changes, see what they would serve, and take them back. Raises what the services raise."""
    with gate.trial() as watch:
        make(actor, environment, changes, reason)
        return outcome_of(watch, changes)


def make(actor: Actor, environment: Environment, changes: Sequence[Change], reason: str) -> None:
    """Make the changes in their order. A refusal names the change that it is about."""
    for index, change in enumerate(changes):
        kind, key = change["resource"]["type"], change["resource"]["key"]
        with _within(f"changes[{index}]"):
            operation = get_operation(kind, change["action"], attr="resource")
            if kind == "environment" and key != environment.key:
                raise Invalid(
                    f"A request changes its own environment: name {environment.key}, or propose it in {key}.",
                    attr="resource.key",
                    code="other_environment",
                )
            patch = change.get("patch") or {}
            if operation.form is None:
                refuse_unknown(patch, ())
            else:
                patch = checked(operation.form, patch, is_partial=operation.sets_fields and not operation.makes_new)
                if not operation.sets_fields:
                    refuse_unknown(patch, operation.form().fields)
            operation.make(Call(actor, environment, key, patch, reason))


@contextmanager
def _within(path: str) -> Iterator[None]:
    try:
        yield
    except ServiceError as error:
        error.problems = [
            Problem(f"{path}.{problem.attr}" if problem.attr else path, problem.code, problem.detail)
            for problem in error.problems
        ]
        raise


def bases_of(environment: Environment, changes: Sequence[Change]) -> list[dict[str, Any] | None]:
    """Return what each changed resource is now; of an environment's import nothing, since it is about many."""
    return [
        None
        if change["action"] == "import"
        else resource_now(environment, change["resource"]["type"], change["resource"]["key"])
        for change in changes
    ]


def clashes_of(
    changes: Sequence[Change], bases: Sequence[Mapping[str, Any] | None], now: Sequence[Mapping[str, Any] | None]
) -> list[dict[str, Any]]:
    """Return what somebody else has changed since, and the request changes too; a person decides it.

    Of several changes of one thing each builds on those before: of a field that two of them set, the last value counts.
    """
    found = []
    for indexes in _by_resource(changes):
        patch: dict[str, Any] = {}
        setting: dict[str, int] = {}
        whole: list[int] = []
        for index in indexes:
            operation = get_operation(changes[index]["resource"]["type"], changes[index]["action"], attr="resource")
            patch |= changes[index]["patch"]
            setting |= dict.fromkeys(changes[index]["patch"], index)
            if operation.makes_new or not operation.sets_fields:
                whole.append(index)
        first = indexes[0]
        for clash in rebasing.clashes(bases[first], now[first], patch, touched=None if whole else set(patch)):
            index = setting.get(clash.field, (whole or indexes)[0])
            found.append({"change": index, "resource": changes[index]["resource"], **asdict(clash)})
    shown: list[dict[str, Any]] = as_json(found)
    return shown


def _by_resource(changes: Sequence[Change]) -> list[list[int]]:
    """Return the indexes of the changes of each thing, in order; of an import none, because it is about many."""
    found: dict[tuple[str, str], list[int]] = {}
    for index, change in enumerate(changes):
        if change["action"] != "import":
            found.setdefault((change["resource"]["type"], change["resource"]["key"]), []).append(index)
    return list(found.values())
