"""What a decision rests on: the results of now, what in them speaks against shipping, and their summary for the log."""

from typing import Any

from experiments.decisions.objections import Shown, objections
from experiments.models import Experiment
from experiments.payloads import Results


def objections_to(experiment: Experiment, results: Results | None, variant: str) -> list[str]:
    """The reasons not to ship the variant, in plain words. Nothing speaks against the control: it is what there was.

    `results` is None where they could not be worked out.
    """
    if variant == experiment.control_variant:
        return []
    if results is None:
        return ["The results could not be worked out."]
    ratio, recommendation = results["srm"], results["recommendation"]
    failure = ""
    if ratio["alarm"] or ratio["warning"]:
        p_value = "" if ratio["pValue"] is None else f" (p = {ratio['pValue']:.2g})"
        failure = (
            f"The sample ratio failed{p_value}: the arms do not hold the shares they should, so users are missing."
        )
    harms = tuple(
        f"The guardrail {item['metric']} is violated for {item['variant']}, beyond its margin of "
        f"{item['marginPercent']:g} %."
        for item in results["guardrails"]
        if item["status"] == "violated"
        and item["variant"] == variant
        and item["marginPercent"] is not None
        # An exploratory guardrail speaks for nothing and against nothing.
        and not item.get("exploratory")
    )
    return objections(
        Shown(
            verdict=recommendation["text"],
            verdict_reasons=tuple(recommendation["reasons"]),
            is_recommended=recommendation["action"] == "ship" and variant in _recommended(results),
            ratio_failure=failure,
            harms=harms,
        )
    )


def evidence_summary(results: Results) -> dict[str, Any]:
    """The figures a decision was taken on, small enough for the audit log."""
    ratio, recommendation = results["srm"], results["recommendation"]
    return {
        "asOf": results["window"]["asOf"],
        "phase": results["window"]["phase"],
        "users": ratio["observed"],
        "recommendation": {name: recommendation[name] for name in ("action", "reason", "variant", "text")},
        "sampleRatio": {"pValue": ratio["pValue"], "warning": ratio["warning"], "alarm": ratio["alarm"]},
        "guardrailsViolated": [
            {"metric": item["metric"], "variant": item["variant"]}
            for item in results["guardrails"]
            if item["status"] == "violated"
        ],
        "primary": [
            {name: item[name] for name in ("metric", "variant", "relativeLift", "adjustedPValue", "significant")}
            for item in results["comparisons"]
            if item["role"] == "primary"
        ],
    }


def _recommended(results: Results) -> set[str | None]:
    """The variants that the recommendation names: winners that cannot be told apart are all of them good to ship."""
    recommendation = results["recommendation"]
    if recommendation["reason"] != "not_separable":
        return {recommendation["variant"]}
    return {
        item["variant"]
        for item in results["comparisons"]
        if item["role"] == "primary" and item["significant"] and item["direction"] == "better"
    }
