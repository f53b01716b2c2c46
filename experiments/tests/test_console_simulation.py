"""The simulation page: every method for one design, in slices with progress, and what it refuses."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from experiments.admin.simulation import simulation_slices as slices
from experiments.models import Experiment

DESIGN = {"usersPerDay": "1000", "days": "7", "baseline": "10", "lift": "20"}
OWN = {"flag": "new-checkout", "metric": "purchase-rate"}
PART = {"HX-Request": "true"}


@pytest.fixture
def url():
    return reverse("admin:experiments_experiment_simulate")


@pytest.fixture
def one_step(monkeypatch):
    """However fast the machine is, a request comes no further than a step."""
    monkeypatch.setattr(slices, "SLICE_SECONDS", 0)


def go_on(client, url, asked, part, name):
    """Ask as the page's script does, until all is done; the progress seen and the last answer's context."""
    seen, context = [], client.get(url, asked).context
    while not context[name].is_finished:
        seen.append(context[name].handled)
        context = client.get(url, {**asked, "part": part, "state": context[name].state}, headers=PART).context
    return seen, context


def test_simulation__works(console_editor, url):
    answer = console_editor.get(url, {**DESIGN, "whole": "1"})

    rows = answer.context["rows"]
    assert answer.status_code == 200
    assert [row["method"] for row in rows] == list(Experiment.Method.labels)
    power = dict(zip(Experiment.Method.values, [row["power"] for row in rows], strict=True))
    assert power["always_valid"] < power["obrien_fleming"] <= power["fixed"] + 0.01
    assert 0.5 < power["obrien_fleming"] < 1
    for row in rows:
        assert row["false_positives"] < 0.057
        assert f"{row['stop_day']:.1f}" in answer.text
    assert "progressbar" not in answer.text
    assert f"{url}?usersPerDay=1000&amp;days=7" in answer.text


def test_simulation__in_slices__shows_progress_and_comes_to_the_same(console_editor, url, one_step):
    whole = console_editor.get(url, {**DESIGN, "whole": "1"}).context["rows"]

    first = console_editor.get(url, DESIGN)
    seen, last = go_on(console_editor, url, DESIGN, "forecast", "forecast")

    assert 'aria-valuenow="2000"' in first.text
    assert 'aria-valuemax="80000"' in first.text
    assert seen == list(range(2_000, 80_000, 2_000))
    assert last["rows"] == whole


def test_simulation__each_step__has_runs_of_its_own(console_editor, url, one_step):
    first = console_editor.get(url, DESIGN).context["forecast"]
    asked = {**DESIGN, "part": "forecast", "state": first.state}
    second = console_editor.get(url, asked, headers=PART).context["forecast"]

    ((method, runs),) = first.runs.items()
    assert second.runs[method] != runs + runs


def test_simulation__method_done__is_shown_while_the_others_run(console_editor, url, one_step):
    context = console_editor.get(url, DESIGN).context
    for _ in range(10):
        asked = {**DESIGN, "part": "forecast", "state": context["forecast"].state}
        answer = console_editor.get(url, asked, headers=PART)
        context = answer.context

    assert [row["method"] for row in context["rows"]] == [Experiment.Method(Experiment.Method.values[0]).label]
    assert "<html" not in answer.text
    # Read by a script, a noscript's content is content.
    assert "whole" not in answer.text


@pytest.mark.parametrize("change", [{"lift": "5"}, {"state": "made-up"}])
def test_simulation__sums_of_another_design_or_made_up__are_begun_anew(console_editor, url, one_step, change):
    state = console_editor.get(url, DESIGN).context["forecast"].state

    asked = {**DESIGN, "part": "forecast", "state": state, **change}
    answer = console_editor.get(url, asked, headers=PART)

    assert answer.context["forecast"].handled == 2_000


def test_simulation__nothing_asked__shows_an_example(console_editor, url):
    assert len(console_editor.get(url, {"whole": "1"}).context["rows"]) == 4


@pytest.mark.parametrize(
    "asked",
    [{"days": "many"}, {"days": "61"}, {"usersPerDay": "0"}, {"lift": "0"}, {"baseline": "99"}, {"baseline": "nan"}],
)
def test_simulation__no_design__is_refused_in_words(console_editor, url, asked):
    answer = console_editor.get(url, asked)

    assert (answer.status_code, "rows" in answer.context) == (422, False)
    assert answer.context["problems"]


def test_simulation__stranger__is_sent_to_the_login(client, url):
    assert client.get(url).status_code == 302


@pytest.fixture
def environment(acme):
    """The one that the console's people may see."""
    return acme.production


@pytest.fixture
def fed(running, expose):
    now = timezone.now() - timedelta(days=2)
    expose(running, {"control": 300, "treatment": 300}, converted={"control": 30, "treatment": 150}, at=now)


def test_null_check__of_ones_own_users__says_whether_the_promise_holds(console_editor, url, fed):
    answer = console_editor.get(url, {**OWN, "whole": "1"})

    assert (answer.status_code, answer.context["checked"].users) == (200, 600)
    assert answer.context["checked"].is_healthy
    assert "As promised." in answer.text


def test_null_check__in_slices__shows_progress_and_comes_to_the_same(console_editor, url, fed, one_step):
    whole = console_editor.get(url, {**OWN, "whole": "1"}).context["checked"]

    seen, last = go_on(console_editor, url, OWN, "null", "null")

    assert seen == list(range(20, 400, 20))
    assert last["checked"] == whole


def test_null_check__each_step__has_splits_of_its_own(console_editor, url, fed, monkeypatch):
    split, seeds = slices.split_at_random, []

    def noted(*given, seed, **asked):
        seeds.append(seed)
        return split(*given, seed=seed, **asked)

    monkeypatch.setattr(slices, "split_at_random", noted)
    console_editor.get(url, {**OWN, "whole": "1"})

    assert len(seeds) == len(set(seeds)) == 20


def test_null_check__sums_of_another_environment__are_begun_anew(console_editor, acme, url, fed, one_step):
    state = console_editor.get(url, OWN).context["null"].state

    elsewhere = {**OWN, "environment": acme.staging.pk, "part": "null", "state": state}
    answer = console_editor.get(url, elsewhere, headers=PART)

    assert "too few to test" in answer.context["refusals"][0]


def test_null_check__another_tenants_users__are_not_told_of(console_outsider, acme, url, fed):
    answer = console_outsider.get(url, {**OWN, "environment": acme.production.pk})

    assert answer.status_code == 404


@pytest.mark.parametrize(
    ("asked", "said"),
    [(OWN, "too few to test"), ({"flag": "new-checkout", "metric": "nothing"}, "no metric")],
)
def test_null_check__nothing_to_check__is_refused_in_words(console_editor, url, running, asked, said):
    answer = console_editor.get(url, asked)

    assert (answer.status_code, "checked" in answer.context) == (422, False)
    assert said in answer.text
