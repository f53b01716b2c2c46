"""One evaluation on the server with its usage counted by flag and source, against one counted by reason alone.

Both run in turns in one process, from a parsed body to the JSON of the answer. The fastest turns, by the
thread's own time, leave out whatever else the machine does.
"""

import gc
import time
from collections.abc import Callable
from typing import Any

from openflagship.engine import Answer, CompiledEnvironment
from openflagship.engine.answer import OPENFEATURE_REASONS

_TURNS, _EVALUATIONS = 2_000, 100


def _environment() -> CompiledEnvironment:
    variants = [{"key": "control", "value": False}, {"key": "treatment", "value": True}]
    conditions = [{"attribute": "country", "operator": "equals", "value": "DE"}]
    rule = {"id": "r", "priority": 1, "variant": "treatment", "conditions": conditions}
    flag = {
        "key": "new-checkout",
        "type": "boolean",
        "variants": variants,
        "enabled": True,
        "defaultVariant": "control",
        "offVariant": "control",
        "salt": "new-checkout",
        "bucketBy": "userId",
        "prerequisites": [],
        "targets": [],
        "rules": [rule],
        "allocation": [[0, 2_500, "treatment"]],
        "killSwitchVariant": None,
    }
    meta = {"organization": "acme", "project": "web", "key": "production", "salt": ""}
    return CompiledEnvironment.from_document(
        {"contract": 1, "environment": meta, "version": 3, "flags": {"new-checkout": flag}, "segments": {}}
    )


def _seconds(evaluate: Callable[..., Any], caller: type[Any], bodies: list[dict[str, Any]]) -> float:
    started = time.thread_time()
    for body in bodies:
        # As the fast lane does: each request has a caller of its own.
        evaluate(caller(1, "checkout-service", "python", "fs_server"), body, 80)
    return time.thread_time() - started


def lines() -> list[str]:
    """The section's lines; Django is set up. It needs no server."""
    from analytics.pipeline.exposure_buffer import EXPOSURES  # noqa: PLC0415 - once Django is set up
    from flags.evaluation import answers  # noqa: PLC0415 - likewise
    from flags.propagation.runtime import RUNTIME  # noqa: PLC0415 - likewise

    counts = dict.fromkeys(OPENFEATURE_REASONS, 0)

    class ByReasonAlone(answers.Caller):
        __slots__ = ()

        def count(self, key: str, answer: Answer) -> None:  # noqa: ARG002 - as its protocol has it
            counts[answer.reason] += 1

    # The thread would send exposures while evaluations are timed.
    EXPOSURES._start = lambda: None  # type: ignore[method-assign]  # noqa: SLF001 - of this process alone
    EXPOSURES._capacity = 10**9  # noqa: SLF001 - likewise
    RUNTIME.environments = {1: _environment()}
    bodies = [
        {"flagKey": "new-checkout", "userId": f"user-{number}", "attributes": {"country": "DE" if number % 2 else "FR"}}
        for number in range(_EVALUATIONS)
    ]
    answered = answers.evaluate(answers.Caller(1), bodies[1], 80)[1]
    assert b'"reason":"RULE_MATCH"' in answered, answered
    gc.disable()
    with_usage, without = [], []
    for turn in range(_TURNS):
        for caller, took in ((answers.Caller, with_usage), (ByReasonAlone, without))[:: 1 if turn % 2 else -1]:
            took.append(_seconds(answers.evaluate, caller, bodies) / _EVALUATIONS * 1e6)
            EXPOSURES._queue.clear()  # noqa: SLF001 - as above
    gc.enable()
    found = [
        f"{_TURNS:,} pairs of turns of {_EVALUATIONS} evaluations in one process, in alternating order, from a parsed "
        "body to the answer's JSON, by the thread's own time. At most 3 % is promised.",
        "",
        "| of the turns | by reason alone | with usage | more |",
        "|---|---|---|---|",
    ]
    for name, place in (("fastest", 0), ("tenth", _TURNS // 10), ("median", _TURNS // 2)):
        more, less = sorted(with_usage)[place], sorted(without)[place]
        found.append(f"| {name} | {less:.2f} µs | {more:.2f} µs | {100 * (more / less - 1):+.1f} % |")
    return found
