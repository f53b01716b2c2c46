"""The checks before an experiment starts: refusals, warnings, and a forecast of its duration."""

from dataclasses import dataclass, field

from django.db import transaction
from openflagship.wire.acknowledgements import EXPERIMENT_SPLIT
from redis.exceptions import RedisError

from analytics import selectors as events
from experiments.analysis.arrivals import missing_events, without_unit
from experiments.design import planning
from experiments.design.enabling import enabling_of
from experiments.design.payloads import EnablingForecast, PreflightResult, Refusal
from experiments.design.splits import document_problems, split_problems
from experiments.documents import split_of
from experiments.models import Experiment
from flags.documents import percent_of
from flags.propagation.service_features import outdated_services
from tenancy.errors import Problem, Unavailable

_SHORT_OF_USERS_DAYS = 60
_ESTIMATE_SECONDS = 15.0


@dataclass(slots=True)
class Preflight:
    """`conflicts` and `problems` forbid the start, `warnings` do not. `estimate` is None without traffic.

    `enabling` is there for a flag that is off: what switching it on changes for those who take no part.
    """

    conflicts: list[Problem] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    estimate: planning.DurationEstimate | None = None
    enabling: EnablingForecast | None = None
    assumed_lift: float = planning.PLANNED_LIFT

    @property
    def may_start(self) -> bool:
        return not self.conflicts and not self.problems

    def as_payload(self) -> PreflightResult:
        refusals: list[Refusal] = [
            {"attr": problem.attr, "code": problem.code, "detail": problem.detail}
            for problem in [*self.conflicts, *self.problems]
        ]
        estimate = self.estimate.as_payload() if self.estimate else None
        return {
            "mayStart": self.may_start,
            "refusals": refusals,
            "warnings": self.warnings,
            "estimate": None if estimate is None else {**estimate, "assumedLift": self.assumed_lift},
            "enabling": self.enabling,
        }


def check_before_start(experiment: Experiment, *, enable_flag: bool = False) -> Preflight:
    """What forbids the start and what it should be known of. `enable_flag` is to switch on a flag that is off.

    It takes up to `_ESTIMATE_SECONDS`, so it is never called under a lock.
    """
    found = refusals(experiment, enable_flag=enable_flag)
    _warn_of_rules(found, experiment)
    _warn_of_services(found, experiment)
    if found.may_start:
        _estimate(found, experiment)
        _warn_of_data(found, experiment)
    return found


def refusals(experiment: Experiment, *, enable_flag: bool = False) -> Preflight:
    """What forbids the start, without a forecast."""
    found = Preflight(assumed_lift=planning.planned_lift(experiment))
    config = experiment.config
    flag = config.flag
    other = Experiment.objects.filter(config=config, status__in=Experiment.SERVED).exclude(pk=experiment.pk).first()
    if other is not None:
        found.conflicts.append(
            Problem(
                "flagKey",
                "experiment_conflict",
                f"{other.name!r} is {other.status} on {flag.key!r}; complete it first.",
            )
        )
    if flag.is_archived:
        found.conflicts.append(Problem("flagKey", "flag_archived", f"{flag.key!r} is archived; restore it first."))
    if not config.is_enabled:
        found.enabling = enabling_of(config)
        if enable_flag:
            found.warnings.append(found.enabling["text"])
        else:
            detail = (
                f"{flag.key!r} is off here, so nobody would take part. Switch it on first, or start with `enableFlag`. "
                f"{found.enabling['text']}"
            )
            found.problems.append(Problem("flagKey", "flag_off", detail))
    if config.is_killed:
        found.problems.append(
            Problem(
                "flagKey", "flag_killed", f"{flag.key!r} is killed to {config.kill_switch_variant!r}; release it first."
            )
        )
    _check_split(found, experiment)
    _check_layer(found, experiment)
    return found


def _check_split(found: Preflight, experiment: Experiment) -> None:
    wrong = [*split_problems(experiment), *document_problems(experiment)]
    if wrong:
        found.problems += wrong
    elif any(0 < weight < 500 for weight in split_of(experiment).values()):
        found.warnings.append("A variant gets less than 5 % of the users; it will decide how long everything takes.")


def _check_layer(found: Preflight, experiment: Experiment) -> None:
    layer = experiment.layer
    if layer is None:
        return
    taken = sum(slot.buckets.upper - slot.buckets.lower for slot in layer.slots.exclude(experiment_id=experiment.pk))
    if taken + experiment.traffic_bp > 10_000:
        found.conflicts.append(
            Problem(
                "trafficPercent",
                "layer_full",
                f"{layer.key!r} has {percent_of(10_000 - taken)} % left, and {percent_of(experiment.traffic_bp)} % are "
                "asked for. Take less traffic, or wait: what a completed experiment had rests for 7 days.",
            )
        )


def _warn_of_rules(found: Preflight, experiment: Experiment) -> None:
    config = experiment.config
    place = experiment.priority
    rules = sum(1 for rule in config.rules.all() if place is None or rule.priority < place)
    if rules:
        found.warnings.append(
            f"{rules} targeting {'rule comes' if rules == 1 else 'rules come'} before the experiment: "
            "whoever they match does not take part."
        )
    if config.prerequisites:
        found.warnings.append(
            "The flag has prerequisites: who does not meet them gets the off variant and does not take part."
        )


def _estimate(found: Preflight, experiment: Experiment) -> None:
    """An estimate that takes long must not keep an experiment from its start."""
    try:
        with events.answer_within(_ESTIMATE_SECONDS, what="The estimate"), transaction.atomic():
            found.estimate = planning.estimate(experiment)
    except Unavailable as error:
        found.warnings.append(f"How long it takes is not known: {error}")


def _warn_of_services(found: Preflight, experiment: Experiment) -> None:
    try:
        outdated = outdated_services(experiment.environment_id, [EXPERIMENT_SPLIT])
    except RedisError:
        found.warnings.append("Redis is away, so nobody can say whether connected services understand the experiment.")
        return
    instances = sum(one.instances for one in outdated)
    if instances:
        names = ", ".join(dict.fromkeys(f"{one.sdk} {one.version}".strip() for one in outdated))
        are, them = ("service is", "it") if instances == 1 else ("services are", "them")
        found.warnings.append(
            f"{instances} connected {are} too old for an experiment with a split of its own ({names}). "
            f"Update {them} before you start."
        )


def _warn_of_data(found: Preflight, experiment: Experiment) -> None:
    measured = [experiment.primary_metric, *(use.metric for use in experiment.metrics.all())]
    found.warnings += missing_events(experiment.environment_id, measured)
    estimate = found.estimate
    if estimate is None or not estimate.users_per_day:
        found.warnings.append(
            "Nobody evaluated this flag in the last 7 days, so how long the experiment takes cannot be told."
        )
        return
    event_name, unit = experiment.primary_metric.event_name, experiment.config.bucket_by
    if unit != "userId" and estimate.events and not estimate.converted:
        found.warnings.append(
            f"{estimate.events:,} events {event_name!r} arrived in the last 7 days, and none is of a unit that saw the "
            f"flag: {without_unit(unit)}"
        )
    if experiment.audience and estimate.audience_share is None:
        found.warnings.append(
            "Whom the audience takes in cannot be told, because no exposure carries what it asks for: users and days "
            "are those of everybody who saw the flag. Keep the audience's attributes with exposures."
        )
    if estimate.users_needed is None:
        found.warnings.append(
            "How many users it takes cannot be told from the last 7 days: plan with POST experiments/power, or let the "
            "always-valid method run until it shows something."
        )
    if estimate.days is not None and estimate.days > _SHORT_OF_USERS_DAYS:
        found.warnings.append(
            f"At the current traffic it takes {estimate.days} days to see a relative change of "
            f"{100 * found.assumed_lift:g} %; a bolder change, more traffic or CUPED would shorten it."
        )
