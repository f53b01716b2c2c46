"""Apply a payload to unsaved rows, and check the rows as a whole."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from experiments.analysis.methods import METHODS
from experiments.design.splits import document_problems, own_split, split_problems
from experiments.models import Experiment, ExperimentMetric, Metric
from flags.documents import weights_of
from flags.models import Layer
from tenancy.errors import Problem
from tenancy.refusals import unknown_fields

FIELDS = frozenset(
    {
        "key", "name", "hypothesis", "flagKey", "controlVariant", "layer", "trafficPercent", "audience", "allocation",
        "priority", "primaryMetric", "secondaryMetrics", "guardrails", "analysis", "breakdowns", "autoPauseOnSrm",
        "startsAt", "endsAt",
    }
)  # fmt: skip
# A client may send these back as it read them; they are ignored.
READ_ONLY_FIELDS = frozenset(
    {"id", "status", "phase", "exploratory", "decision", "startedAt", "endedAt", "version", "createdAt", "updatedAt"}
)
# Fields that may change while an experiment runs, because no figure depends on them.
LIVE_FIELDS = frozenset({"name", "hypothesis", "trafficPercent", "breakdowns", "autoPauseOnSrm", "endsAt"})
# Lists that may grow while it runs: what is added is exploratory.
GROWING_FIELDS = frozenset({"secondaryMetrics", "guardrails"})
_ANALYSIS = frozenset(
    {
        "method", "alpha", "correction", "cuped", "winsorizePercent", "plannedUsers", "minimumEffect",
        "liftPriorStandardDeviation",
    }
)  # fmt: skip
MOST_BREAKDOWNS = 10
_LONGEST_ATTRIBUTE = 100
_LARGEST_PRIOR = 10


@dataclass(slots=True)
class Draft:
    """An unsaved experiment, its secondary metrics and guardrails (None: unchanged), and its problems."""

    experiment: Experiment
    uses: list[ExperimentMetric] | None = None
    problems: list[Problem] = field(default_factory=list)

    def refuse(self, attr: str, code: str, detail: str) -> None:
        self.problems.append(Problem(attr, code, detail))


def apply(draft: Draft, payload: Mapping[str, Any], metrics: Mapping[str, Metric]) -> None:
    """Apply the payload to the draft. `metrics` are the project's, by key. Problems go into `draft.problems`."""
    experiment = draft.experiment
    draft.problems += unknown_fields(payload, FIELDS | READ_ONLY_FIELDS)
    for name, attribute in (
        ("name", "name"),
        ("hypothesis", "hypothesis"),
        ("controlVariant", "control_variant"),
        ("audience", "audience"),
        ("priority", "priority"),
        ("autoPauseOnSrm", "auto_pause_on_srm"),
        ("startsAt", "starts_at"),
        ("endsAt", "ends_at"),
    ):
        if name in payload:
            setattr(experiment, attribute, payload[name])
    if "allocation" in payload:
        _apply_split(draft, payload["allocation"])
    if "breakdowns" in payload:
        _apply_breakdowns(draft, payload["breakdowns"])
    if "layer" in payload:
        _apply_layer(draft, payload["layer"])
    if "trafficPercent" in payload:
        share = [{"variant": "all", "percent": payload["trafficPercent"]}]
        weights, wrong = weights_of(share, variants=["all"], attr="trafficPercent")
        if wrong or not weights:
            draft.refuse(
                "trafficPercent", "invalid_percent", "Give a number above 0, up to 100, with at most two decimals."
            )
        else:
            experiment.traffic_bp = weights[0][1]
    if "analysis" in payload:
        _apply_analysis(draft, payload["analysis"])
    if "primaryMetric" in payload:
        metric = _metric(draft, payload["primaryMetric"], "primaryMetric", metrics)
        if metric is not None:
            experiment.primary_metric = metric
    if "secondaryMetrics" in payload or "guardrails" in payload:
        draft.uses = _uses(draft, payload, metrics)


def _apply_layer(draft: Draft, key: str | None) -> None:
    experiment = draft.experiment
    experiment.layer = Layer.objects.filter(environment=experiment.environment_id, key=key).first() if key else None
    if key and experiment.layer is None:
        draft.refuse("layer", "unknown_layer", f"There is no layer {key!r} here; null gives it one of its own.")


def _apply_split(draft: Draft, shares: Any) -> None:
    experiment = draft.experiment
    if shares is None and not experiment.owns_split:
        # What is there: an experiment from before experiments owned their split.
        return
    ranges, wrong = own_split(experiment, shares)
    draft.problems += wrong
    if not wrong:
        experiment.allocation = ranges


def _apply_breakdowns(draft: Draft, names: Any) -> None:
    experiment = draft.experiment
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        draft.refuse("breakdowns", "invalid_type", 'Give a list of attribute names, such as ["country"].')
        return
    experiment.breakdowns = list(dict.fromkeys(names))
    if len(experiment.breakdowns) > MOST_BREAKDOWNS:
        draft.refuse("breakdowns", "too_many", f"At most {MOST_BREAKDOWNS}: each one is kept with every exposure.")
    for index, name in enumerate(experiment.breakdowns):
        if not 0 < len(name) <= _LONGEST_ATTRIBUTE or name == "userId":
            draft.refuse(f"breakdowns[{index}]", "invalid", "Name an attribute that users share, such as country.")


def _metric(
    draft: Draft, key: Any, attr: str, metrics: Mapping[str, Metric], named: Sequence[ExperimentMetric] = ()
) -> Metric | None:
    """The metric with this key, unless it is `named` in the same list already. Problems go into `draft.problems`."""
    metric = metrics.get(key)
    if metric is None:
        known = ", ".join(sorted(metrics)) or "none yet; create one first"
        draft.refuse(attr, "unknown_metric", f"There is no metric {key!r}. There are: {known}.")
    elif metric in [use.metric for use in named]:
        draft.refuse(attr, "duplicate", "Name each metric once.")
        return None
    return metric


def _uses(draft: Draft, payload: Mapping[str, Any], metrics: Mapping[str, Metric]) -> list[ExperimentMetric]:
    experiment = draft.experiment
    existing = [] if experiment._state.adding else list(experiment.metrics.all())  # noqa: SLF001 - Django's documented state
    uses: list[ExperimentMetric] = []
    if "secondaryMetrics" in payload:
        for index, key in enumerate(payload["secondaryMetrics"]):
            metric = _metric(draft, key, f"secondaryMetrics[{index}]", metrics, uses)
            if metric is not None:
                uses.append(
                    ExperimentMetric(
                        experiment=experiment, metric=metric, role=ExperimentMetric.Role.SECONDARY, position=index
                    )
                )
    else:
        uses += [use for use in existing if use.role == ExperimentMetric.Role.SECONDARY]
    if "guardrails" in payload:
        watched: list[ExperimentMetric] = []
        for index, guardrail in enumerate(payload["guardrails"]):
            metric = _metric(draft, guardrail["metric"], f"guardrails[{index}].metric", metrics, watched)
            if guardrail["marginPercent"] <= 0:
                attr = f"guardrails[{index}].marginPercent"
                draft.refuse(attr, "out_of_range", "Give the harm that would still be acceptable, above 0.")
            if metric is not None:
                watched.append(
                    ExperimentMetric(
                        experiment=experiment,
                        metric=metric,
                        role=ExperimentMetric.Role.GUARDRAIL,
                        position=index,
                        margin_percent=guardrail["marginPercent"],
                        action=guardrail.get("action", ExperimentMetric.Action.WARN),
                    )
                )
        uses += watched
    else:
        uses += [use for use in existing if use.role == ExperimentMetric.Role.GUARDRAIL]
    return uses


def _apply_analysis(draft: Draft, analysis: Mapping[str, Any]) -> None:
    experiment = draft.experiment
    draft.problems += unknown_fields(analysis, _ANALYSIS, within="analysis")
    experiment.planned_users = analysis.get("plannedUsers")
    planned = Experiment.Method.OBRIEN_FLEMING if experiment.planned_users else Experiment.Method.ALWAYS_VALID
    experiment.method = analysis.get("method", planned)
    experiment.alpha = analysis.get("alpha", 0.05)
    experiment.correction = analysis.get("correction", Experiment.Correction.HOLM)
    experiment.is_cuped = analysis.get("cuped", False)
    experiment.winsorize_percent = analysis.get("winsorizePercent")
    experiment.minimum_effect = analysis.get("minimumEffect")
    experiment.lift_prior_sd = analysis.get("liftPriorStandardDeviation")


def check(draft: Draft) -> None:
    """Add the problems of the experiment as a whole: variants, dates, the method's inputs, the audience."""
    experiment = draft.experiment
    variants = [variant["key"] for variant in experiment.config.flag.variants]
    if experiment.control_variant not in variants:
        draft.refuse(
            "controlVariant",
            "unknown_variant",
            f"The flag has no variant {experiment.control_variant!r}; use one of: {', '.join(variants)}.",
        )
    else:
        draft.problems += split_problems(experiment) if experiment.owns_split else []
        draft.problems += document_problems(experiment)
    if not experiment.name:
        draft.refuse("name", "required", "Give the experiment a name that people recognise.")
    if not 0 < experiment.alpha < 1:
        draft.refuse("analysis.alpha", "out_of_range", "Give an error rate between 0 and 1, such as 0.05.")
    for name, value, choices in (
        ("method", experiment.method, Experiment.Method.values),
        ("correction", experiment.correction, Experiment.Correction.values),
    ):
        if value not in choices:
            draft.refuse(f"analysis.{name}", "invalid_choice", f"Choose one of: {', '.join(choices)}.")
    method = METHODS.get(experiment.method)
    if method is not None and method.needs_planned_users and not experiment.planned_users:
        draft.refuse(
            "analysis.plannedUsers",
            "required",
            "This method spends its error over a planned number of users; give it (see POST experiments/power).",
        )
    winsorize = experiment.winsorize_percent
    if winsorize is not None and not 0 < winsorize < 50:
        draft.refuse(
            "analysis.winsorizePercent", "out_of_range", "Give a share above 0 and below 50 percent, such as 0.1."
        )
    if experiment.minimum_effect is not None and not 0 < experiment.minimum_effect < 1:
        draft.refuse(
            "analysis.minimumEffect",
            "out_of_range",
            "Give the smallest lift that matters as a fraction above 0 and below 1, such as 0.02 for 2 %.",
        )
    if experiment.lift_prior_sd is not None and not 0 < experiment.lift_prior_sd <= _LARGEST_PRIOR:
        draft.refuse(
            "analysis.liftPriorStandardDeviation",
            "out_of_range",
            f"Give a fraction above 0, up to {_LARGEST_PRIOR}, such as 0.05; leave it out for a flat prior.",
        )
    if _is_backwards(experiment.starts_at, experiment.ends_at):
        draft.refuse("endsAt", "out_of_range", "The end must come after the start.")


def _is_backwards(starts_at: datetime | None, ends_at: datetime | None) -> bool:
    return starts_at is not None and ends_at is not None and ends_at <= starts_at
