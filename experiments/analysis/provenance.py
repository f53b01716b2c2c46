"""The origin of a result: configuration versions, the watermark of its data, and the version of the code."""

import hashlib
import json
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import QuerySet

from analytics.selectors import Period, last_received
from experiments.analysis.window import Window
from experiments.models import Experiment
from experiments.payloads import Results
from flags.models import Change

_MAY_CHANGE_LATER = frozenset({"name", "hypothesis", "status", "endedAt"})
# Python writes larger whole floats with an exponent.
_NO_EXPONENT = 1e16
_PACKAGE = Path(__file__).resolve().parent.parent


def config_versions(experiment: Experiment, window: Window) -> list[int]:
    """The environment's versions at which the flag's configuration changed, from the opening of the phase."""
    opened = window.phase.config_version
    later = flag_steps(experiment, window).filter(version__gt=opened)
    return [opened, *later.values_list("version", flat=True)]


def interruptions(experiment: Experiment, window: Window) -> int:
    """How many times in the phase the flag was off or killed, so that nobody was exposed."""
    steps = flag_steps(experiment, window).filter(version__gte=window.phase.config_version)
    found, was_off = 0, False
    for is_enabled, killed_to in steps.values_list("document__enabled", "document__killSwitchVariant"):
        is_off = not is_enabled or killed_to is not None
        found += is_off and not was_off
        was_off = is_off
    return found


def changed_prerequisites(experiment: Experiment, window: Window) -> dict[str, list[int]]:
    """The flag's prerequisites that changed in the phase, with the versions at which they did."""
    phase = window.phase
    keys = sorted(item["flagKey"] for item in experiment.config.prerequisites)
    if not keys:
        return {}
    steps = Change.objects.filter(
        environment_id=experiment.environment_id,
        entity=Change.Entity.FLAG,
        key__in=keys,
        version__gt=phase.config_version,
        created_at__lt=min(window.until, phase.ended_at or window.until),
    )
    found: dict[str, list[int]] = {}
    for key, version in steps.order_by("key", "version").values_list("key", "version"):
        found.setdefault(key, []).append(version)
    return found


def flag_steps(experiment: Experiment, window: Window) -> QuerySet[Change]:
    """The flag's steps in the environment's log until the window's end, or the phase's."""
    phase = window.phase
    found = Change.objects.filter(
        environment_id=experiment.environment_id,
        entity=Change.Entity.FLAG,
        key=experiment.config.flag.key,
        created_at__lt=window.until,
    )
    if phase.ended_at is not None:
        found = found.filter(created_at__lt=phase.ended_at)
    return found.order_by("version")


def watermark(experiment: Experiment, window: Window, event_names: list[str]) -> datetime | None:
    """When the last event behind the figures was received; None before the first."""
    period = Period(experiment.environment_id, experiment.key, window.since, window.until)
    return last_received(period, event_names, window.deadline)


@cache
def code_version() -> str:
    """A hash of the source of the analysis and the statistics: the same source computes the same digits."""
    digest = hashlib.sha256()
    for path in sorted([*_PACKAGE.glob("analysis/**/*.py"), *_PACKAGE.glob("statistics/*.py")]):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return f"analysis-{digest.hexdigest()[:16]}"


def as_stored(value: Any) -> Any:
    """The value with its numbers as PostgreSQL hands them back, so that a stored row has the digest it was given."""
    if isinstance(value, dict):
        return {key: as_stored(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_stored(item) for item in value]
    if isinstance(value, float):
        # `jsonb` knows no negative zero, and writes large floats without an exponent.
        return int(value) if value.is_integer() and abs(value) >= _NO_EXPONENT else value + 0.0
    return value


def digest_of(payload: Results) -> str:
    """SHA-256 of the payload as canonical JSON, without fields of the experiment that may change afterwards."""
    header = {name: value for name, value in payload["experiment"].items() if name not in _MAY_CHANGE_LATER}
    text = json.dumps({**payload, "experiment": header}, sort_keys=True, separators=(",", ":"), cls=DjangoJSONEncoder)
    return hashlib.sha256(text.encode()).hexdigest()
