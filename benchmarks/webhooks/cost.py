"""What a write costs with webhooks and without, in pairs on one platform."""

import statistics
import time
from typing import Any


def cost(pairs: int, webhooks: int = 20) -> list[str]:
    """Change a flag in turn where there are webhooks and where there are none, by the service, commit included."""
    from benchmarks.webhooks.chaos import Run  # noqa: PLC0415 - after setup

    bare, told = Run("bare", {}), Run("told", {})
    _add(told, webhooks)
    for number in range(20):
        bare.change(number)
        told.change(number)
    taken: dict[str, list[float]] = {"bare": [], "told": []}
    for number in range(pairs):
        # Each goes first as often as the other.
        for run, name in ((bare, "bare"), (told, "told"))[:: 1 if number % 2 else -1]:
            began = time.perf_counter()
            run.change(number)
            taken[name].append((time.perf_counter() - began) * 1000)
    shares = [after / before - 1 for before, after in zip(taken["bare"], taken["told"], strict=True)]
    chosen = [statistics.median(_resampled(shares, seed)) for seed in range(400)]
    low, high = sorted(chosen)[10], sorted(chosen)[-10]
    medians = {name: statistics.median(values) for name, values in taken.items()}
    return [
        f"A write with {webhooks} webhooks beside one with none, {pairs} pairs in turn: {medians['bare']:.2f} ms "
        f"without, {medians['told']:.2f} ms with (medians); in pairs {statistics.median(shares):+.1%} "
        f"(95 % of resamples: {low:+.1%} to {high:+.1%}). Deliveries are made by workers, after the commit.",
    ]


def _resampled(values: list[float], seed: int) -> list[float]:
    import random  # noqa: PLC0415 - here alone

    chance = random.Random(seed)
    return [chance.choice(values) for _ in values]


def _add(run: Any, count: int) -> None:
    from integrations import services  # noqa: PLC0415 - after setup

    for number in range(count):
        payload = {"name": f"hook {number}", "url": f"http://127.0.0.1:9/{number}", "events": ["*"]}
        services.create_webhook(actor=run.actor, organization=run.environment.project.organization, payload=payload)
