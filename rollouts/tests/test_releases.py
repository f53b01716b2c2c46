"""An experiment's winner goes on as a plan, and whoever had it keeps it."""

import html
import re
from collections.abc import Callable
from typing import Any

import pytest
from openflagship.engine import CompiledEnvironment, Context

from experiments.models import Experiment
from flags.models import FlagConfig
from flags.versions.loading import load_document
from rollouts.models import RolloutPlan
from rollouts.tests.conftest import KEY
from tenancy.admin.testing import signed_in
from tenancy.console_kit.pages import object_url
from tenancy.models import Environment, User
from tenancy.roles import Role
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


@pytest.mark.django_db
def test_console__proposes_steps_beside_a_share__and_releases_a_winner_by_them(
    running_on: Callable[[], Experiment], flag: FlagConfig, person: Callable[..., User]
) -> None:
    console_editor = signed_in(person(Role.EDITOR, flag.environment.project.organization))
    page = console_editor.get(object_url(flag)).text
    (address,) = {html.unescape(link) for link in re.findall(r'href="([^"]*propose=1[^"]*)"', page)}
    assert "25 % now\n50 % tomorrow\n100 % tomorrow" in console_editor.get(address).text
    both = {"variant": "treatment", "steps": "25 % now", "template": "daily"}
    refused = console_editor.post(address, both)
    assert (refused.status_code, RolloutPlan.objects.count()) == (422, 0)
    assert "not both" in refused.text

    experiment = running_on()
    assert "propose=1" not in console_editor.get(object_url(flag)).text
    (address,) = re.findall(r'href="([^"]*/release/[^"]*)"', console_editor.get(object_url(experiment)).text)
    release = html.unescape(address)
    assert ">control</option>" not in console_editor.get(release).text
    sent = {"variant": "treatment", "steps": "10 % now\n100 % after 1 day with approval", "reason": "It won."}
    assert console_editor.post(release, sent).status_code == 302
    plan = RolloutPlan.objects.get()
    assert (plan.state, [step["percent"] for step in plan.steps]) == ("running", [100])
    experiment.refresh_from_db()
    assert (experiment.status, experiment.decision) == ("completed", "ship")
    assert "/release/" not in console_editor.get(object_url(experiment)).text


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("sent", "problem"),
    [
        ({"template": "zz"}, ("unknown_template", "template")),
        ({"template": "zz", "steps": [{"percent": 60}]}, ("unknown_template", "template")),
        ({}, ("required", "steps")),
        ({"steps": [{"percent": 10}, {"percent": 60}]}, ("required", "steps[1]")),
        # The first step is left out, and the others keep their numbers.
        (
            {
                "steps": [
                    {"percent": 5},
                    {"percent": 60, "after": "PT0S"},
                    {"percent": 100, "at": "2020-01-01T00:00:00Z"},
                ]
            },
            ("out_of_range", "steps[2].at"),
        ),
    ],
    ids=["unknown", "unknown-beside-steps", "neither", "no-condition", "passed"],
)
def test_release__bad_steps__are_named_as_they_were_sent(
    sent: dict[str, Any], problem: tuple[str, str], running_on: Callable[[], Experiment], editor: Caller
) -> None:
    experiment = running_on()
    answer = editor.post(f"experiments/{experiment.key}/release", {"variant": "treatment", "reason": "It won.", **sent})
    assert answer.status_code == 400, answer.content
    assert [(error["code"], error["attr"]) for error in answer.json()["errors"]] == [problem]
    experiment.refresh_from_db()
    assert experiment.status == "running"


@pytest.mark.django_db
def test_release__first_steps_left_out__asks_for_no_users_of_them(
    running_on: Callable[[], Experiment], editor: Caller
) -> None:
    steps = [{"percent": 5}, {"percent": 60, "minimumUsers": 500}, {"percent": 100, "minimumUsers": 900}]
    wanted = {"variant": "treatment", "steps": steps, "reason": "It won."}
    answer = editor.post(f"experiments/{running_on().key}/release", wanted)
    assert answer.status_code == 201, answer.content
    plan = answer.json()
    assert (plan["steps"], plan["currentStep"]) == ([{"percent": 60}, steps[2]], 1)
