"""The simulation page: every method for one design, and what it refuses."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from experiments.admin.simulation import REPLICATIONS
from experiments.models import Experiment
from experiments.simulations import forecast


@pytest.fixture
def url():
    return reverse("admin:experiments_experiment_simulate")


def test_simulation__works(console_editor, url):
    answer = console_editor.get(url, {"usersPerDay": "1000", "days": "7", "baseline": "10", "lift": "20"})

    rows = answer.context["rows"]
    assert answer.status_code == 200
    assert [row["method"] for row in rows] == list(Experiment.Method.labels)
    told = forecast(
        users_per_day=1000, days=7, baseline=0.1, lift=0.2, method="obrien_fleming", replications=REPLICATIONS
    )
    spending = rows[Experiment.Method.values.index("obrien_fleming")]
    assert spending["power"] == told.with_effect.right_direction_rate > 0.5
    assert spending["false_positives"] == told.without.claim_rate < 0.08
    assert f"{told.with_effect.mean_stop_day:.1f}" in answer.content.decode()


def test_simulation__nothing_asked__shows_an_example(console_editor, url):
    assert len(console_editor.get(url).context["rows"]) == 4


@pytest.mark.parametrize(
    "asked",
    [{"days": "many"}, {"days": "61"}, {"usersPerDay": "0"}, {"lift": "0"}, {"baseline": "99"}, {"baseline": "nan"}],
)
def test_simulation__no_design__is_refused_in_words(console_editor, url, asked):
    answer = console_editor.get(url, asked)

    assert (answer.status_code, answer.context["rows"]) == (422, [])
    assert answer.context["problems"]


def test_simulation__stranger__is_sent_to_the_login(client, url):
    assert client.get(url).status_code == 302


@pytest.fixture
def environment(acme):
    """The one that the console's people may see."""
    return acme.production


def test_null_check__of_ones_own_users__says_whether_the_promise_holds(console_editor, url, running, expose):
    now = timezone.now() - timedelta(days=2)
    expose(running, {"control": 300, "treatment": 300}, converted={"control": 30, "treatment": 150}, at=now)
    answer = console_editor.get(url, {"flag": "new-checkout", "metric": "purchase-rate"})

    assert (answer.status_code, answer.context["checked"].users) == (200, 600)
    assert answer.context["checked"].is_healthy
    assert "As promised." in answer.content.decode()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"flag": "new-checkout", "metric": "purchase-rate"}, "too few to test"),
        ({"flag": "new-checkout", "metric": "nothing"}, "no metric"),
    ],
)
def test_null_check__nothing_to_check__is_refused_in_words(console_editor, url, running, asked, said):
    answer = console_editor.get(url, asked)

    assert (answer.status_code, answer.context["checked"]) == (422, None)
    assert said in answer.content.decode()
