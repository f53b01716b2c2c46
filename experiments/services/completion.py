"""The end of an experiment: its decision, what that rests on, and what it changes."""

from collections.abc import Mapping
from typing import Any

from django.db import OperationalError, transaction

from audit.actors import Actor
from experiments.analysis.ship_evidence import evidence_summary, objections_to
from experiments.design.act_impact import impact_of_completion, impact_of_start, unchanging
from experiments.design.completion import flag_change
from experiments.documents import experiment_resource
from experiments.models import Experiment
from experiments.payloads import Results
from experiments.selectors import get_experiment
from experiments.services.experiments import locked_experiment
from experiments.services.lifecycle import (
    close_phase,
    current_phase,
    finish,
    now_in_milliseconds,
    require_status,
    save_next_version,
)
from experiments.services.results import read_results
from flags.services import end_experiment, gate, version_log
from tenancy.errors import Conflict, Invalid, Unavailable
from tenancy.models import Environment
from tenancy.refusals import refuse_stale


@gate.act("experiment.complete")
def complete_experiment(
    *,
    actor: Actor,
    environment: Environment,
    pk: Any,
    decision: str,
    variant: str | None = None,
    to: str | None = None,
    version: int | None = None,
    reason: str = "",
    is_in_steps: bool = False,
) -> Experiment:
    """End the experiment with a decision. `stop` returns its participants to what everybody else gets.

    `ship` gives `variant` to everyone, as the flag's rollout, or `to` the audience, as a rule in its place. Where the
    results speak against shipping it, the `reason` is required. The flag's targets and rules stay. Events go on
    counting for those who were enrolled, until 7 days after the end; until then its buckets of a shared layer rest, so
    that no user goes from one experiment straight into the next.
    With `is_in_steps` the caller releases the variant: the flag's rollout stays as it is.
    """
    asked = get_experiment(environment, pk)
    require_status(asked, "complete", *Experiment.SERVED)
    shipped, _ = decided(asked, decision, variant, to)
    phase = current_phase(asked).number
    # The results are read before the lock, because other writers would wait for them. A trial is under that lock, and
    # keeps no evidence: it reads them only where they may refuse, and the act itself reads them in any case.
    is_needless = gate.is_trial() and bool(reason.strip() or not shipped)
    results, missing = (None, "This was a trial.") if is_needless else _results_now(asked)
    against = objections_to(asked, results, shipped) if shipped else []
    if against and not reason.strip():
        raise Invalid(
            f"Say in `reason` why {shipped} is shipped all the same. {' '.join(against)}",
            attr="reason",
            code="reason_required",
        )
    found = {"unavailable": missing} if results is None else evidence_summary(results)
    return _complete(
        actor=actor,
        environment=environment,
        pk=asked.pk,
        outcome=(decision, variant, to),
        phase=phase,
        version=version,
        reason=reason,
        evidence={**found, "objections": against},
        is_in_steps=is_in_steps,
    )


def act_impact(experiment: Experiment, sent: Mapping[str, Any]) -> dict[str, Any]:
    """What an act would change, and what speaks against it; nothing is written. Raises Invalid and Conflict."""
    if sent["act"] == "start":
        require_status(experiment, "start", Experiment.Status.DRAFT)
        return {**impact_of_start(experiment, enable_flag=sent.get("enableFlag", False)), "objections": []}
    require_status(experiment, sent["act"], *Experiment.SERVED)
    if sent["act"] != "complete":
        return {**unchanging(sent["act"]), "objections": []}
    shipped, scope = decided(experiment, sent.get("decision", ""), sent.get("variant"), sent.get("to"))
    against = objections_to(experiment, _results_now(experiment)[0], shipped) if shipped else []
    return {**impact_of_completion(experiment, shipped, scope), "objections": against}


def _results_now(experiment: Experiment) -> tuple[Results | None, str]:
    """The results of the present phase, or None and why: an experiment must not run on for want of its figures."""
    try:
        # A query that was stopped ends the transaction around it, unless it has a savepoint to go back to.
        with transaction.atomic():
            return read_results(experiment=experiment), ""
    except Unavailable as error:
        return None, str(error)
    except OperationalError:
        return None, "The event store is away."


@transaction.atomic
def _complete(
    *,
    actor: Actor,
    environment: Environment,
    pk: Any,
    outcome: tuple[str, str | None, str | None],
    phase: int,
    version: int | None,
    reason: str,
    evidence: Mapping[str, Any],
    is_in_steps: bool,
) -> Experiment:
    # A decision may change the flag in every environment: all are locked at once, in their one order.
    version_log.lock_project(environment.project)
    experiment = locked_experiment(environment, pk)
    before = experiment_resource(experiment)
    refuse_stale("experiment", before, version)
    require_status(experiment, "complete", *Experiment.SERVED)
    if current_phase(experiment).number != phase:
        raise Conflict(
            "A phase has begun meanwhile, which the decision does not rest on. Look at its results, and decide again.",
            code="phase_begun",
            attr="phase",
        )
    decision, (shipped, scope) = outcome[0], decided(experiment, *outcome)
    moment = now_in_milliseconds()
    close_phase(experiment, moment)
    experiment.status, experiment.ended_at = Experiment.Status.COMPLETED, moment
    experiment.decision, experiment.shipped_variant = decision, shipped
    experiment.shipped_to = scope if shipped else ""
    save_next_version(experiment)
    end_experiment(
        actor=actor,
        environment=environment,
        key=experiment.config.flag.key,
        change=None if is_in_steps else flag_change(experiment, shipped, scope),
        reason=f"Decision of the experiment {experiment.name}: {decision}",
    )
    return finish(actor, experiment, "completed", before, reason, evidence=evidence)


def decided(experiment: Experiment, decision: str, variant: str | None, to: str | None) -> tuple[str, str]:
    """The variant that is shipped ("" for none) and to whom. Raises Invalid for an unclear decision."""
    known = [item["key"] for item in experiment.config.flag.variants]
    control = experiment.control_variant
    if decision == Experiment.Decision.STOP:
        if variant not in (None, control) or to is not None:
            raise Invalid(
                "Stopping ships nothing: to ship a variant, decide `ship`.", attr="variant" if to is None else "to"
            )
        # Without a split of its own the flag's allocation is the experiment's, and must not outlive it.
        return ("" if experiment.owns_split else control), ""
    if decision != Experiment.Decision.SHIP:
        raise Invalid("Decide `ship` (with a variant) or `stop`.", attr="decision", code="invalid_choice")
    if variant is None or variant not in known:
        raise Invalid(f"Name the variant to ship, one of: {', '.join(known)}.", attr="variant", code="unknown_variant")
    scope = Experiment.Scope.EVERYONE.value if to is None else to
    if scope not in Experiment.Scope.values:
        raise Invalid("Ship to `everyone` or to the `audience`.", attr="to", code="invalid_choice")
    if scope == Experiment.Scope.AUDIENCE and experiment.audience is None:
        raise Invalid("The experiment has no audience; ship to everyone.", attr="to", code="no_audience")
    return variant, scope
