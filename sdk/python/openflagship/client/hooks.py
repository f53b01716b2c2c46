"""Hooks around every evaluation: before it, after an answer, after a failure, and at the end of both."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from openflagship.client.callers_code import is_coroutine_function
from openflagship.client.context import Context
from openflagship.engine import Answer

log = logging.getLogger("openflagship")


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: the flag, the user, the caller's default and the flag's type (`unknown` without a flag)."""

    flag_key: str
    context: Context
    default: Any
    kind: str


class Hook:
    """Override what you need. A hook that fails is logged, and changes no answer."""

    def before(self, question: Question) -> Mapping[str, Any] | None:
        """Attributes to add to the context; None for none."""

    def after(self, question: Question, answer: Answer) -> None:
        """Called with an answer."""

    def error(self, question: Question, answer: Answer) -> None:
        """Called where the caller's default is served; `error_code` and `detail` say why."""

    def finally_after(self, question: Question, answer: Answer) -> None:
        """Called last, in either case."""


def check_hook(hook: Hook) -> None:
    """Raises ValueError for a stage that is a coroutine function: nobody would wait for it."""
    for stage in ("before", "after", "error", "finally_after"):
        if is_coroutine_function(getattr(hook, stage)):
            name = type(hook).__name__
            raise ValueError(f"the hook {name}: {stage!r} must be a plain method, not a coroutine function.")


def run_hooks(hooks: tuple[Hook, ...], question: Question, ask: Callable[[Context], Answer]) -> Answer:
    """Ask between the hooks: each stage before in their order, each stage after in reverse."""
    for hook in hooks:
        added = _called(hook, "before", question)
        if added is not None and not isinstance(added, Mapping):
            log.warning("the hook %s gave %s in place of attributes", type(hook).__name__, type(added).__name__)
        elif added:
            context = question.context.with_attributes({**question.context.attributes, **added})
            question = Question(question.flag_key, context, question.default, question.kind)
    answer = ask(question.context)
    stage = "after" if answer.error_code is None else "error"
    for hook in reversed(hooks):
        _called(hook, stage, question, answer)
    for hook in reversed(hooks):
        _called(hook, "finally_after", question, answer)
    return answer


def _called(hook: Hook, stage: str, *given: Any) -> Any:
    try:
        return getattr(hook, stage)(*given)
    except Exception:
        log.exception("the hook %s failed in %s", type(hook).__name__, stage)
        return None
