"""Simulations in slices: each request does a part of the runs, and the page carries the signed sums so far.

The server remembers nothing between the requests, and leaving the page stops the simulation. The seeds are fixed, so
the same address gives the same figures to whoever opens it.
"""

from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from itertools import product
from time import monotonic
from typing import Any, ClassVar, TypedDict

from django.core import signing
from django.core.cache import cache
from django.utils import timezone
from redis.exceptions import RedisError

from experiments.design.simulations import NullCheck, Runs, checked_figures, run, split_at_random
from experiments.models import Experiment, Metric
from experiments.statistics.distributions import Floats
from experiments.statistics.simulation import Tally
from tenancy.models import Environment

# Short, so that a page answers soon and a web process serves others meanwhile.
SLICE_SECONDS = 0.1
# The same as in the command: the rates are right to about half a percentage point.
REPLICATIONS = 10_000
_RUNS_IN_A_STEP = 1_000
# Random splits of the environment's own users; enough to tell 5 % from 9 %.
SPLITS = 400
_SPLITS_IN_A_STEP = 20
_CHECKED_DAYS = 14
_CACHE_SECONDS = 600


class SimulatedDesign(TypedDict):
    """An even split of a rate. `baseline` is a share from 0 to 1, and `lift` is relative to it."""

    users_per_day: int
    days: int
    baseline: float
    lift: float


@dataclass(slots=True)
class ForecastSlices:
    """Every method's runs of one design, method by method."""

    steps: ClassVar = list(product(Experiment.Method.values, range(REPLICATIONS // _RUNS_IN_A_STEP)))

    design: SimulatedDesign
    done: int = 0
    runs: dict[str, Runs] = field(default_factory=dict)

    @classmethod
    def resumed(cls, design: SimulatedDesign, state: str) -> "ForecastSlices":
        """Go on from `state`, or begin where it is not a state of this design that the server has signed."""
        known = _unsigned(state, _salt(design))
        if known is None:
            return cls(design)
        runs = {method: Runs(*(_tally(each) for each in pair)) for method, pair in known["runs"].items()}
        return cls(design, known["done"], runs)

    def work(self, *, is_whole: bool) -> None:
        """Go on for a slice, by one step at least. Raises Invalid."""
        until = monotonic() + SLICE_SECONDS
        while self.done < len(self.steps):
            method, number = self.steps[self.done]
            more = run(**self.design, method=method, replications=_RUNS_IN_A_STEP, seed=(1, number))
            self.runs[method] = self.runs[method] + more if method in self.runs else more
            self.done += 1
            if monotonic() >= until and not is_whole:
                return

    @property
    def state(self) -> str:
        runs = {method: [asdict(pair.with_effect), asdict(pair.without)] for method, pair in self.runs.items()}
        return _signed({"done": self.done, "runs": runs}, _salt(self.design))

    @property
    def is_finished(self) -> bool:
        return self.done == len(self.steps)

    @property
    def handled(self) -> int:
        """Runs that are done, with the change and without."""
        return 2 * self.done * _RUNS_IN_A_STEP

    @property
    def total(self) -> int:
        return 2 * len(self.steps) * _RUNS_IN_A_STEP

    @property
    def share(self) -> float:
        return self.done / len(self.steps)

    @property
    def complete(self) -> dict[str, Runs]:
        """The methods whose runs are all done."""
        return {method: runs for method, runs in self.runs.items() if runs.without.replications == REPLICATIONS}


@dataclass(slots=True)
class NullSlices:
    """Random splits of a flag's users. However long they take, the users are those of one moment, `until`."""

    environment: Environment
    flag_key: str
    metric: Metric
    until: datetime = field(default_factory=timezone.now)
    check: NullCheck | None = None

    @classmethod
    def resumed(cls, environment: Environment, flag_key: str, metric: Metric, state: str) -> "NullSlices":
        slices = cls(environment, flag_key, metric)
        known = _unsigned(state, slices.salt)
        if known is not None:
            slices.until = datetime.fromisoformat(known["until"])
            slices.check = NullCheck(**known["check"])
        return slices

    def work(self, *, is_whole: bool) -> None:
        """Go on for a slice, by one step at least. Raises Invalid."""
        figures = self._figures()
        until = monotonic() + SLICE_SECONDS
        while not self.is_finished:
            seed = (1, self.handled // _SPLITS_IN_A_STEP)
            more = split_at_random(figures, self.metric, replications=_SPLITS_IN_A_STEP, seed=seed)
            self.check = more if self.check is None else self.check + more
            if monotonic() >= until and not is_whole:
                return

    def _figures(self) -> Floats:
        """The users' figures, from the cache where it has them: reading them takes as long as hundreds of splits."""
        name = f"console:null:{self.salt}:{self.metric.updated_at.isoformat()}:{self.until.isoformat()}"
        figures: Floats | None = None
        with suppress(RedisError):  # without Redis each slice reads the figures again
            figures = cache.get(name)
        if figures is None:
            figures = checked_figures(self.environment, self.flag_key, self.metric, days=_CHECKED_DAYS, now=self.until)
            with suppress(RedisError):
                cache.set(name, figures, _CACHE_SECONDS)
        return figures

    @property
    def salt(self) -> str:
        return _salt([self.environment.pk, self.flag_key, self.metric.pk])

    @property
    def state(self) -> str:
        check = asdict(self.check) if self.check else None
        return _signed({"until": self.until.isoformat(), "check": check}, self.salt)

    @property
    def is_finished(self) -> bool:
        return self.handled >= SPLITS

    @property
    def handled(self) -> int:
        return self.check.replications if self.check else 0

    @property
    def total(self) -> int:
        return SPLITS

    @property
    def share(self) -> float:
        return self.handled / SPLITS


def _tally(stored: dict[str, Any]) -> Tally:
    return Tally(**{**stored, "stops": tuple(stored["stops"])})


def _salt(subject: object) -> str:
    """The sums of one design or check are not signed for another."""
    return f"simulation:{REPLICATIONS}:{subject}"


def _signed(state: dict[str, Any], salt: str) -> str:
    return signing.dumps(state, salt=salt, compress=True)


def _unsigned(state: str, salt: str) -> dict[str, Any] | None:
    try:
        known: dict[str, Any] = signing.loads(state, salt=salt)
    except signing.BadSignature:
        return None
    return known
