"""An experiment's winner goes on as a plan, and whoever had it keeps it."""

from collections.abc import Callable
from typing import Any

import pytest
from openflagship.engine import CompiledEnvironment, Context

from experiments.models import Experiment
from flags.versions.loading import load_document
from rollouts.tests.conftest import KEY
from tenancy.models import Environment
from tenancy.testing import Caller


@pytest.mark.django_db
def test_release__ships_in_steps__and_keeps_who_had_it(
    running_on: Callable[[], Experiment], editor: Caller, environment: Environment, share: Any
) -> None:
    def treated() -> set[str]:
        compiled = CompiledEnvironment.from_document(load_document(environment.pk) or {})
        users = (f"user-{number}" for number in range(2_000))
        return {user for user in users if compiled.evaluate(KEY, Context(user)).variant == "treatment"}

    experiment = running_on()
    before = treated()
    wanted = {"variant": "treatment", "template": "daily", "reason": "It won."}
    answer = editor.post(f"experiments/{experiment.key}/release", wanted)
    assert answer.status_code == 201, answer.content
    plan = answer.json()
    assert (plan["state"], plan["currentStep"]) == ("running", 0)
    assert [step["percent"] for step in plan["steps"]] == [100]
    assert treated() == before
    experiment.refresh_from_db()
    assert (experiment.status, experiment.decision, experiment.shipped_variant) == ("completed", "ship", "treatment")
    advanced = editor.post(f"flags/{KEY}/rollout-plan/advance").json()
    assert (advanced["state"], share()) == ("completed", 10_000)
    assert before < treated()
