"""The one gate: every step of a version log asks it before it is stored, and so does what decides who is enrolled.

An app above registers the guard that may refuse. An environment that nobody guards says so in its row, which every
writer has locked anyway; so asking costs nothing there.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from functools import wraps
from typing import Any, Final, ParamSpec, Protocol, TypedDict, TypeVar

from django.db import transaction

from audit.actors import Actor
from flags.models import Change
from tenancy.errors import Conflict
from tenancy.models import Environment

P = ParamSpec("P")
R = TypeVar("R")

# Acts that nothing refuses, and why.
EXEMPT: Final[Mapping[str, str]] = {
    "flag.kill": "An emergency must not wait.",
    "experiment.pause": "It serves nobody anything else, and an alarm has to be able to pause.",
    "rollout_plan.rollback_at_work": "The plan that was asked about says what it returns to; harm must not wait.",
    "person.erase": "The law does not wait for a review.",
    "environment.create": "A new environment serves nobody yet.",
}


class Refused(Conflict):
    """The guard refused a write. `place` is the environment in which a change request has to be made for it."""

    place: Environment | None = None


@dataclass(frozen=True, slots=True)
class Act:
    """What somebody asked a service for: its registered name, and the arguments of the call."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Piece:
    """One thing that a write changes in an environment. `document` is what it will be; None: nothing any more.

    `since` is the environment's configuration version before the write.
    """

    environment: Environment
    entity: str
    key: str
    document: Mapping[str, Any] | None
    presentation: Mapping[str, Any] = field(default_factory=dict)
    since: int = 0
    kind: str = ""
    # What it was, where the version log does not have it.
    before: Mapping[str, Any] | None = None


class Guard(Protocol):
    def __call__(self, *, environment: Environment, actor: Actor, pieces: Sequence[Piece], act: Act | None) -> None: ...


@dataclass(slots=True)
class Watch:
    """Collects what the writes inside of it change. The guard is not asked there; whoever watches decides."""

    is_trial: bool
    pieces: list[Piece] = field(default_factory=list)
    dealt: set[str] = field(default_factory=set)


class Freeze(TypedDict):
    """A window in which nothing is published. `until` is None where nobody set an end."""

    id: str
    name: str
    reason: str
    until: datetime | None


_guards: list[Guard] = []
_freezes: list[Callable[[Environment, datetime], Freeze | None]] = []
_act: ContextVar[Act | None] = ContextVar("act", default=None)
_watch: ContextVar[Watch | None] = ContextVar("watch", default=None)


def register(guard: Guard) -> None:
    """Have the guard asked of each write to a guarded environment. It raises Refused."""
    if guard not in _guards:
        _guards.append(guard)


def register_freezes(find: Callable[[Environment, datetime], Freeze | None]) -> None:
    """Say how the freeze that holds in an environment at an instant is found."""
    if find not in _freezes:
        _freezes.append(find)


def frozen(environment: Environment, now: datetime) -> Freeze | None:
    """Return the freeze that holds there, for whatever waits for its end rather than be refused."""
    return next((found for find in _freezes if (found := find(environment, now))), None)


def act(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Name what a service does. Of services that call each other the outermost counts: it is what was asked for."""

    def decorate(service: Callable[P, R]) -> Callable[P, R]:
        @wraps(service)
        def named(*args: P.args, **kwargs: P.kwargs) -> R:
            with acting(name, kwargs):
                return service(*args, **kwargs)

        ACTS.add(name)
        return named

    return decorate


# Every name that a service gave itself.
ACTS: set[str] = set()


@contextmanager
def acting(name: str, arguments: Mapping[str, Any] | None = None) -> Iterator[None]:
    """As `act`, for a part of a function."""
    if _act.get() is not None:
        yield
        return
    token = _act.set(Act(name, dict(arguments or {})))
    try:
        yield
    finally:
        _act.reset(token)


@contextmanager
def trial() -> Iterator[Watch]:
    """Let writes happen, collect what they change, and take all of it back."""
    with _watching(is_trial=True) as watch, transaction.atomic():
        yield watch
        transaction.set_rollback(True)


@contextmanager
def permitted() -> Iterator[Watch]:
    """Let writes pass, collecting what they change. Whoever calls this has made sure that they may be published."""
    with _watching(is_trial=False) as watch:
        yield watch


@contextmanager
def together(actor: Actor) -> Iterator[None]:
    """Ask once, at the end, about all that is written inside: an act of many writes is one change of each environment.

    The caller is in a transaction, which a refusal takes back.
    """
    if _watch.get() is not None:
        yield
        return
    watch = Watch(is_trial=False)
    token = _watch.set(watch)
    try:
        yield
    finally:
        _watch.reset(token)
    by_environment: dict[int, list[Piece]] = {}
    for piece in watch.pieces:
        by_environment.setdefault(piece.environment.pk, []).append(piece)
    for pieces in by_environment.values():
        ask(actor=actor, pieces=pieces)


@contextmanager
def savepoint() -> Iterator[None]:
    """A transaction in the one around it; of what it takes back nobody is asked."""
    watch = _watch.get()
    kept = len(watch.pieces) if watch is not None else 0
    try:
        with transaction.atomic():
            yield
    except BaseException:
        if watch is not None:
            del watch.pieces[kept:]
        raise


@contextmanager
def _watching(*, is_trial: bool) -> Iterator[Watch]:
    outer = _watch.get()
    if outer is not None:
        yield outer
        return
    watch = Watch(is_trial)
    token, asked_for = _watch.set(watch), _act.set(None)
    try:
        yield watch
    finally:
        _act.reset(asked_for)
        _watch.reset(token)


def is_trial() -> bool:
    """Whether what is written now is taken back. What no transaction can take back must not be done then."""
    watch = _watch.get()
    return watch is not None and watch.is_trial


def dealt(value: str) -> str:
    """Return a value that the act has drawn, noted for whoever watches: made again, the same act draws another."""
    watch = _watch.get()
    if watch is not None:
        watch.dealt.add(value)
    return value


def ask(*, actor: Actor, pieces: Sequence[Piece]) -> None:
    """Raise Refused unless these things of one locked environment may be changed now."""
    if not pieces:
        return
    watch = _watch.get()
    if watch is not None:
        watch.pieces += pieces
        return
    environment = pieces[0].environment
    if not environment.is_guarded:
        return
    asked_for = _act.get()
    if (asked_for is not None and asked_for.name in EXEMPT) or all(is_kill(piece) for piece in pieces):
        return
    for guard in _guards:
        guard(environment=environment, actor=actor, pieces=pieces, act=asked_for)


def is_kill(piece: Piece) -> bool:
    return piece.kind == Change.Kind.KILL_SWITCH and bool((piece.document or {}).get("killSwitchVariant"))


def is_release(piece: Piece) -> bool:
    return piece.kind == Change.Kind.KILL_SWITCH and not is_kill(piece)
