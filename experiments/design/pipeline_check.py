"""Checks the whole pipeline on an environment's own users: dealt anew by a fresh salt, both arms must look alike.

Each split runs through what results run through: the store's statements, every metric type, looks, guardrails, CUPED.
Whatever the users did is the same in both arms, so every difference that is claimed is a false alarm.
"""

import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import scipy
from django.db import transaction
from openflagship.engine.bucketing import bucket

from analytics import selectors as events
from analytics.services import deal, resplit_units
from experiments.analysis import Window, analyse
from experiments.analysis.guards import GUARDRAIL_ALPHA
from experiments.definitions import metric_resource
from experiments.models import Experiment, Metric, Phase
from experiments.resources import MetricResource, PhaseDefinitions
from experiments.selectors import metrics
from experiments.statistics.srm import GATE_ALPHA
from flags.models import FlagConfig
from flags.selectors import configs
from tenancy.errors import Invalid
from tenancy.models import Environment

_FEWEST_USERS = 200
_HALF = 5_000
_ARMS = ("control", "treatment")
_MARGIN_PERCENT = 5.0
# All rows together ring without cause in at most one check in a hundred.
_FALSE_CHECKS = 0.01
# Of each type that the project measures nothing by, one is made up from its events.
_MADE_UP: dict[str, dict[str, Any]] = {
    "binary": {},
    "count": {},
    "continuous": {},
    "ratio": {"denominator_event_name": True},
    "quantile": {"quantile": 0.5},
}


@dataclass(frozen=True, slots=True)
class Alarms:
    """How often one judgement rang in so many splits, and how often it may: at rate `alpha`, by chance."""

    what: str
    method: str
    alarms: int
    judged: int
    alpha: float
    most: int

    @property
    def is_beyond(self) -> bool:
        return self.alarms > self.most


@dataclass(frozen=True, slots=True)
class _Way:
    """One way to analyse: a method, with CUPED or without."""

    method: str
    is_cuped: bool = False

    @property
    def name(self) -> str:
        return f"{self.method} with CUPED" if self.is_cuped else self.method


_WAYS = (*(_Way(method) for method in Experiment.Method.values), _Way(Experiment.Method.FIXED, is_cuped=True))


def check_pipeline(
    environment: Environment,
    *,
    flag_key: str | None = None,
    splits: int = 200,
    days: int = 14,
    most_users: int = 20_000,
    alpha: float = 0.05,
    salt: str | None = None,
    now: datetime,
    progress: Callable[[int], None] = lambda _: None,
) -> tuple[int, list[Alarms]]:
    """Return the users that were dealt anew, and the alarms by judgement and method. Stores nothing.

    Raises Invalid where there are too few users, no metric, or events in another store.
    """
    # A phase of whole milliseconds, as events have them.
    now = now.replace(microsecond=now.microsecond // 1000 * 1000)
    since = now - timedelta(days=days)
    config = _flag(environment, flag_key, since)
    units = _some(list(events.flag_units(environment.pk, config.flag.key, since, now)), most_users)
    if len(units) < _FEWEST_USERS:
        raise Invalid(
            f"{len(units)} users saw {config.flag.key!r} in the last {days} days; check with {_FEWEST_USERS} or more.",
            attr="flagKey",
        )
    fresh = salt or secrets.token_hex(8)
    counts: Counter[tuple[str, str, float]] = Counter()
    judged: Counter[tuple[str, str, float]] = Counter()
    with transaction.atomic():
        try:
            experiment, phase = _experiment(config, since, now, len(units), alpha)
            period = events.Period(environment.pk, experiment.key, since, now)
            # As of when every user's window is over.
            window = Window(phase, period.since, now, now + events.GRACE)
            with resplit_units(replace(period, until=None), units):
                for number in range(splits):
                    deal((unit, _ARMS[bucket(f"{fresh}-{number}", unit) >= _HALF]) for unit, _ in units)
                    for way in _WAYS:
                        for row, rang in _judgements(experiment, window, way):
                            judged[row] += 1
                            counts[row] += rang
                    progress(number + 1)
        finally:
            transaction.set_rollback(True)
    level = 1 - _FALSE_CHECKS / max(1, len(judged))
    return len(units), [
        Alarms(what, method, counts[what, method, rate], total, rate, int(scipy.stats.binom.ppf(level, total, rate)))
        for (what, method, rate), total in judged.items()
    ]


def _judgements(experiment: Experiment, window: Window, way: _Way) -> list[tuple[tuple[str, str, float], bool]]:
    """What one analysis claims; what it does not judge for want of data is left out."""
    experiment.method, experiment.is_cuped = way.method, way.is_cuped
    payload = analyse(experiment, window).payload
    found = [
        ((item["metric"], way.name, experiment.alpha), bool(item["significant"]))
        for item in payload["comparisons"]
        if item["significant"] is not None
    ]
    if way.is_cuped or way.method != Experiment.Method.ALWAYS_VALID:
        return found
    found += [
        ((f"guardrail {item['metric']}", "harm", GUARDRAIL_ALPHA), item["violated"]) for item in payload["guardrails"]
    ]
    p_value = payload["srm"]["pValue"]
    if p_value is not None:
        found.append((("sample ratio", "chi-squared", GATE_ALPHA), p_value < GATE_ALPHA))
    return found


def _flag(environment: Environment, key: str | None, since: datetime) -> FlagConfig:
    """The flag that is named, or else the one that most exposures are of."""
    found = {config.flag.key: config for config in configs(environment)}
    if key is not None:
        if key not in found:
            raise Invalid(f"There is no flag {key!r} in {environment.key}.", attr="flagKey")
        return found[key]
    seen: Counter[str] = Counter()
    for flag_key, _, exposures in events.variants_seen(environment.pk, since):
        seen[flag_key] += exposures * (flag_key in found)
    if not seen.total():
        raise Invalid(f"Nobody saw a flag in {environment.key} since {since:%Y-%m-%d}.", attr="flagKey")
    return found[seen.most_common(1)[0][0]]


def _some(units: Sequence[tuple[str, datetime]], most: int) -> list[tuple[str, datetime]]:
    """At most so many, chosen by their ids alone."""
    if len(units) <= most:
        return list(units)
    return sorted(units, key=lambda unit: bucket("check-pipeline", unit[0]))[:most]


def _experiment(
    config: FlagConfig, since: datetime, now: datetime, users: int, alpha: float
) -> tuple[Experiment, Phase]:
    """Rows that the transaction takes back: an experiment of two equal arms, over, and not corrected."""
    wanted = _metrics(config.environment)
    primary, *others = wanted
    definitions: PhaseDefinitions = {
        "primaryMetric": primary,
        "secondaryMetrics": [{"metric": metric, "exploratorySince": None} for metric in others],
        "guardrails": [
            {"metric": metric, "marginPercent": _MARGIN_PERCENT, "action": "warn", "exploratorySince": None}
            for metric in wanted
            if metric["type"] != "quantile"
        ],
        "winsorizePercent": None,
    }
    experiment = Experiment.objects.create(
        environment=config.environment,
        config=config,
        name="Check of the pipeline",
        control_variant=_ARMS[0],
        layer_salt=f"check-{secrets.token_hex(8)}",
        primary_metric=metrics(config.environment.project)[0],
        alpha=alpha,
        correction=Experiment.Correction.NONE,
        planned_users=users,
        status=Experiment.Status.COMPLETED,
        decision=Experiment.Decision.STOP,
        started_at=since,
        ended_at=now,
    )
    phase = Phase.objects.create(
        experiment=experiment,
        number=1,
        started_at=since,
        ended_at=now,
        salt="check",
        bucket_by=config.bucket_by,
        weights=dict.fromkeys(_ARMS, _HALF),
        config_version=config.environment.config_version,
        tuned_users=users,
        definitions=definitions,
    )
    return experiment, phase


def _metrics(environment: Environment) -> list[MetricResource]:
    """The project's metrics, and one of each type that is missing."""
    own = list(metrics(environment.project))
    if not own:
        raise Invalid("The project has no metric; create one first.", attr="metric")
    event_name, made_up = own[0].event_name, []
    for kind, fields in _MADE_UP.items():
        if kind not in {metric.type for metric in own}:
            columns = {name: event_name if value is True else value for name, value in fields.items()}
            metric = Metric(key=f"(made up) {kind}", name=kind, type=kind, event_name=event_name, **columns)
            made_up.append(metric)
    return [metric_resource(metric) for metric in [*own, *made_up]]
