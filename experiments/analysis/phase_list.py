"""An experiment's phases, as the API lists them and the results page lets one choose."""

from datetime import datetime

from django.utils import timezone

from analytics.selectors import exposure_summary
from experiments.analysis.window import whole_phase
from experiments.analysis.window_data import WindowData
from experiments.definitions import definitions_of
from experiments.models import Experiment, Phase
from experiments.resources import PhaseResource
from flags.documents import percent_of


def phase_resource(experiment: Experiment, phase: Phase, now: datetime | None = None) -> PhaseResource:
    """The phase as the API answers it. Its users are counted from what the ingest keeps up."""
    window = whole_phase(phase, now or timezone.now())
    exposures = exposure_summary(WindowData(experiment, window).period())
    return {
        "number": phase.number,
        "reason": phase.reason,
        "startedAt": phase.started_at,
        "endedAt": phase.ended_at,
        "configVersion": phase.config_version,
        "split": [{"variant": key, "percent": percent_of(weight)} for key, weight in phase.weights.items()],
        "users": sum(exposures.users.values()),
        "crossovers": exposures.crossovers,
        "metrics": phase.definitions or definitions_of(experiment),
        "final": window.is_final,
        "results": f"/api/experiments/{experiment.key}/results?phase={phase.number}",
    }
