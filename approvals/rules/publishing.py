"""May a change request be published? One predicate for console, API, schedule and automatic publication."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

APPROVED: Final = "approve"
OBJECTED: Final = "object"

Why = Literal["not_open", "objected", "approvals_missing", "check_missing"]


@dataclass(frozen=True, slots=True)
class Ask:
    """What one environment asks of a change: so many approvals, and those of named service accounts.

    `approvals` counts people; an account of `checks` is asked by its name. `why` is what made it ask, in words.
    """

    environment: str
    approvals: int
    own_approval: bool = False
    checks: frozenset[str] = frozenset()
    why: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Standing:
    """The latest verdict of one reviewer. An approval is of the content with that hash; an objection is of the request.

    `may_approve` are the environments in which this reviewer may approve now. `is_objection_valid` is false for
    somebody who has no say here any more.
    """

    reviewer: str
    verdict: str
    content: str
    is_author: bool = False
    may_approve: frozenset[str] = frozenset()
    is_objection_valid: bool = True
    is_check: bool = False


@dataclass(frozen=True, slots=True)
class Missing:
    """One thing that stands in the way, with what to do about it."""

    why: Why
    detail: str
    environment: str = ""
    count: int = 0


@dataclass(frozen=True, slots=True)
class Request:
    """What the predicate knows of a request. `content` is the hash of what publishing it would serve now."""

    is_open: bool
    content: str
    asks: Sequence[Ask] = ()
    standing: Sequence[Standing] = field(default_factory=tuple)


def may_publish(request: Request, *, is_emergency: bool = False) -> list[Missing]:
    """Return what stands in the way; nothing: it may be published.

    An emergency needs no approvals. It does not overrule an objection.
    """
    if not request.is_open:
        return [Missing("not_open", "Only an open change request can be published.")]
    found = [
        Missing("objected", f"{one.reviewer} objects; settle it, or have {one.reviewer} take the objection back.")
        for one in request.standing
        if one.verdict == OBJECTED and one.is_objection_valid
    ]
    if not is_emergency:
        found += [problem for ask in request.asks for problem in _missing(ask, request)]
    return found


def counted(ask: Ask, standing: Collection[Standing], content: str) -> list[str]:
    """Return the people whose approvals count for this content in the ask's environment."""
    return [
        one.reviewer
        for one in standing
        if one.verdict == APPROVED
        and one.content == content
        and not one.is_check
        and ask.environment in one.may_approve
        and (ask.own_approval or not one.is_author)
    ]


def _missing(ask: Ask, request: Request) -> list[Missing]:
    found: list[Missing] = []
    lacking = ask.approvals - len(counted(ask, request.standing, request.content))
    if lacking > 0:
        noun = "approval" if lacking == 1 else "approvals"
        because = f" ({'; '.join(ask.why)})" if ask.why else ""
        detail = f"{ask.environment} asks for {lacking} more {noun} of exactly this content{because}."
        found.append(Missing("approvals_missing", detail, ask.environment, lacking))
    checked = {
        one.reviewer
        for one in request.standing
        if one.verdict == APPROVED and one.content == request.content and one.is_check
    }
    found += [
        Missing("check_missing", f"{ask.environment} asks for the approval of the check {name}.", ask.environment, 1)
        for name in sorted(ask.checks - checked)
    ]
    return found
