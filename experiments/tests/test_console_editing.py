"""Editing in the console: what a started experiment lets change, and two people who edit the same one."""

import json
from datetime import UTC, datetime

import pytest
from django.urls import reverse

from experiments import services
from experiments.models import Experiment
from flags import services as flag_services
from tenancy.testing import ALICE

HALF = [{"variant": "treatment", "percent": 50}]


@pytest.fixture
def draft(acme):
    environment = acme.production
    flag_services.create_flag(
        actor=ALICE, environment=environment, payload={"key": "new-checkout", "enabled": True, "rollout": HALF}
    )
    for key in ("purchase-rate", "errors"):
        metric = {"key": key, "name": key, "type": "binary", "eventName": key}
        services.create_metric(actor=ALICE, environment=environment, payload=metric)
    content = {
        "name": "Checkout",
        "hypothesis": "Fewer steps",
        "flagKey": "new-checkout",
        "primaryMetric": "purchase-rate",
        "trafficPercent": 20,
        "audience": {"any": [{"attribute": "plan", "operator": "equals", "value": "pro"}]},
        "guardrails": [{"metric": "errors", "marginPercent": 2, "action": "pause"}],
        "analysis": {"correction": "bh", "winsorizePercent": 0.1},
    }
    return services.create_experiment(actor=ALICE, environment=environment, payload=content)


@pytest.fixture
def running(draft):
    return services.start_experiment(actor=ALICE, environment=draft.environment, pk=draft.pk)[0]


def url(experiment):
    return reverse("admin:experiments_experiment_edit", args=[experiment.pk])


def sent(client, experiment, **changes):
    """What the page sends: what it shows, with these fields changed."""
    edit = client.get(url(experiment)).context["edit"]
    document = {**edit.document, **changes}
    return {"version": edit.version, "base": edit.base_text, "document": json.dumps(document)}


def test_live__name_traffic_and_breakdowns__are_saved_and_all_else_stays(console_editor, running):
    changes = {"name": "Checkout 2", "trafficPercent": 35, "breakdowns": ["country", "plan"]}

    assert console_editor.post(url(running), sent(console_editor, running, **changes)).status_code == 302

    running.refresh_from_db()
    assert (running.name, running.traffic_bp, running.breakdowns) == ("Checkout 2", 3500, ["country", "plan"])
    assert running.audience == {"any": [{"attribute": "plan", "operator": "equals", "value": "pro"}]}
    assert running.correction == Experiment.Correction.BENJAMINI_HOCHBERG
    assert running.metrics.get().action == "pause"


def test_live__what_is_locked__is_shown_with_its_reason(console_editor, running):
    page = console_editor.get(url(running))

    locked = {what: value for what, value, why in page.context["locked"] if why}
    assert locked["Split"] == "control 50 %, treatment 50 %"
    assert locked["Guardrails"].startswith("errors (margin 2")
    assert locked["Correction"] == "Benjamini-Hochberg"
    assert locked["Most extreme users"].startswith("the top 0.1 %")
    assert "Locked since it started" in page.text
    assert 'data-field="primaryMetric"' not in page.text


@pytest.mark.parametrize("locked", [{"analysis": {"alpha": 0.5}}, {"primaryMetric": "errors"}])
def test_live__locked_field_sent_all_the_same__is_refused_by_name(console_editor, running, locked):
    changes = {"name": "Checkout 2", **locked}

    answer = console_editor.post(url(running), sent(console_editor, running, **changes))

    assert answer.status_code == 409
    assert [problem.attr for problem in answer.context["edit"].problems] == list(locked)
    running.refresh_from_db()
    assert (running.name, running.alpha, running.primary_metric.key) == ("Checkout", 0.05, "purchase-rate")


def test_live__traffic_shrinks__says_why_not_by_its_path(console_editor, running):
    answer = console_editor.post(url(running), sent(console_editor, running, trafficPercent=5))

    assert answer.status_code == 409
    (problem,) = answer.context["edit"].problems
    assert problem.attr == "trafficPercent"
    assert "grow, not shrink" in problem.detail


def test_live__viewer_or_outsider__may_not(console_viewer, console_outsider, running):
    assert console_viewer.get(url(running)).status_code == 403
    assert console_outsider.get(url(running)).status_code == 404


@pytest.mark.parametrize("is_started", [True, False])
def test_edit__somebody_else_saved__shows_their_change_and_keeps_both(console_editor, draft, is_started):
    if is_started:
        draft, _ = services.start_experiment(actor=ALICE, environment=draft.environment, pk=draft.pk)
    mine = sent(console_editor, draft, hypothesis="Mine", name="My name")
    services.update_experiment(
        actor=ALICE,
        environment=draft.environment,
        pk=draft.pk,
        payload={"name": "Their name", "trafficPercent": 40},
        version=draft.version,
    )

    answer = console_editor.post(url(draft), mine)

    assert answer.status_code == 409
    edit, design = answer.context["edit"], answer.context["design"]
    assert edit.conflict["who"] == "alice"
    assert {change["path"] for change in edit.conflict["changes"]} == {"name", "trafficPercent"}
    assert edit.conflict["both"] == ["name"]
    assert "alice changed this experiment while you were editing" in answer.text
    assert (design["name"], design["hypothesis"], design["trafficPercent"]) == ("My name", "Mine", "40")

    again = {"version": edit.version, "base": edit.base_text, "document": json.dumps(edit.document)}
    assert console_editor.post(url(draft), again).status_code == 302
    draft.refresh_from_db()
    assert (draft.name, draft.hypothesis, draft.traffic_bp) == ("My name", "Mine", 4000)


def test_edit__audience_that_rows_cannot_show__is_edited_as_groups_and_stays(console_editor, draft):
    page = console_editor.get(url(draft))

    assert page.context["conditions"] is None
    assert 'data-field="audience" data-type="tree"' in " ".join(page.text.split())
    assert console_editor.post(url(draft), sent(console_editor, draft, name="Renamed")).status_code == 302
    draft.refresh_from_db()
    assert draft.name == "Renamed"
    assert draft.audience == {"any": [{"attribute": "plan", "operator": "equals", "value": "pro"}]}
    assert draft.correction == Experiment.Correction.BENJAMINI_HOCHBERG


def test_edit__draft__takes_a_start_by_date_and_keeps_what_was_not_touched(console_editor, draft):
    analysis = {"correction": "bh", "winsorizePercent": 0.1, "alpha": 0.01}
    changed = sent(console_editor, draft, startsAt="2031-05-06T07:08:00Z", analysis=analysis)

    assert console_editor.post(url(draft), changed).status_code == 302

    draft.refresh_from_db()
    assert draft.starts_at == datetime(2031, 5, 6, 7, 8, tzinfo=UTC)
    assert (draft.alpha, draft.winsorize_percent) == (0.01, 0.1)
    assert draft.correction == Experiment.Correction.BENJAMINI_HOCHBERG
    assert 'value="2031-05-06T07:08"' in console_editor.get(url(draft)).text


@pytest.mark.parametrize("is_started", [True, False])
def test_edit__end_left_as_it_was__stays_to_the_second(console_editor, draft, is_started):
    end = datetime(2031, 10, 26, 1, 30, 15, tzinfo=UTC)
    draft = services.update_experiment(
        actor=ALICE, environment=draft.environment, pk=draft.pk, payload={"endsAt": end}, version=draft.version
    )
    if is_started:
        services.start_experiment(actor=ALICE, environment=draft.environment, pk=draft.pk)

    assert console_editor.post(url(draft), sent(console_editor, draft, hypothesis="Mine")).status_code == 302

    draft.refresh_from_db()
    assert (draft.hypothesis, draft.ends_at) == ("Mine", end)
    assert 'name="endsAt_shown" value="2031-10-26T01:30:15+00:00"' in console_editor.get(url(draft)).text


def test_edit__start_that_is_no_moment__says_so_by_its_path(console_editor, draft):
    answer = console_editor.post(url(draft), sent(console_editor, draft, startsAt="soon"))

    assert answer.status_code == 422
    assert [problem.attr for problem in answer.context["edit"].problems] == ["startsAt"]


def test_page__started__says_to_anybody_what_is_locked_and_why(console_viewer, running):
    page = console_viewer.get(reverse("admin:experiments_experiment_change", args=[running.pk]))

    assert "What may still change" in page.text
    assert ("Guardrails" in page.text, url(running) in page.text) == (True, False)
    assert {what: why for what, _, why in page.context["locked"]}["Guardrails"].startswith(
        "Metrics chosen after a look"
    )


def test_page__draft__locks_nothing(console_viewer, draft):
    page = console_viewer.get(reverse("admin:experiments_experiment_change", args=[draft.pk]))

    assert "What may still change" not in page.text


def test_live__metric_added__is_saved_as_exploratory(console_editor, running):
    page = console_editor.get(url(running))
    answer = console_editor.post(url(running), sent(console_editor, running, secondaryMetrics=["errors"]))

    assert 'data-field="secondaryMetrics[]"' in page.text
    assert answer.status_code == 302
    assert running.metrics.get(role="secondary").exploratory_since is not None
