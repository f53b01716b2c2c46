"""Making the changes of a request: on trial, to see what they would serve, or for good."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from approvals import needs
from approvals.guard import ask_resource
from approvals.operations import Call, Change, as_json, get_operation, resource_now
from approvals.rules import rebasing
from approvals.rules.content import Part, hash_of
from approvals.rules.publishing import Ask
from audit.actors import Actor
from flags.services import gate
from tenancy.api.documents import checked
from tenancy.errors import Problem, ServiceError
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


def outcome_of(watch: gate.Watch) -> Outcome:
    touched = needs.touched_by(watch.pieces, watch.dealt)
    parts = [part for one in touched for part in one.parts]
    return Outcome(touched, hash_of(parts), needs.asks_of(touched))


def on_trial(actor: Actor, environment: Environment, changes: Sequence[Change], reason: str) -> Outcome:
    """Make the changes, see what they would serve, and take them back. Raises what the services raise."""
    with gate.trial() as watch:
        make(actor, environment, changes, reason)
        return outcome_of(watch)


def make(actor: Actor, environment: Environment, changes: Sequence[Change], reason: str) -> None:
    """Make the changes in their order. A refusal names the change that it is about."""
    for index, change in enumerate(changes):
        kind, key = change["resource"]["type"], change["resource"]["key"]
        with _within(f"changes[{index}]"):
            operation = get_operation(kind, change["action"], attr="resource")
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
    """Return what somebody else has changed since, and the request changes too; a person decides it."""
    found = []
    seen: set[tuple[str, str]] = set()
    for index, (change, base, current) in enumerate(zip(changes, bases, now, strict=True)):
        name = change["resource"]["type"], change["resource"]["key"]
        if name in seen or change["action"] == "import":
            # A later change of the same thing builds on the first.
            continue
        seen.add(name)
        operation = get_operation(name[0], change["action"], attr="resource")
        touched = set(change["patch"]) if operation.sets_fields and not operation.makes_new else None
        for clash in rebasing.clashes(base, current, change["patch"], touched=touched):
            found.append({"change": index, "resource": change["resource"], **asdict(clash)})
    shown: list[dict[str, Any]] = as_json(found)
    return shown
