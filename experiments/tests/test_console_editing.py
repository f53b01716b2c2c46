"""Editing in the console: what a started experiment lets change, and two people who edit the same one."""

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


def live(client, experiment, **changes):
    context = client.get(url(experiment)).context
    texts = context["design"].texts
    names = ("name", "hypothesis", "trafficPercent", "breakdowns")
    return {"version": context["version"], "base": context["base"], **{name: texts[name] for name in names}, **changes}


def test_live__name_traffic_and_breakdowns__are_saved_and_all_else_stays(console_editor, running):
    sent = live(console_editor, running, name="Checkout 2", trafficPercent="35", breakdowns="country, plan")

    assert console_editor.post(url(running), sent).status_code == 302

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
    assert 'name="primaryMetric"' not in page.text


def test_live__locked_field_sent_all_the_same__changes_nothing(console_editor, running):
    sent = live(console_editor, running, name="Checkout 2", alpha="0.5", primaryMetric="errors", cuped="on")

    assert console_editor.post(url(running), sent).status_code == 302

    running.refresh_from_db()
    assert (running.alpha, running.primary_metric.key, running.is_cuped) == (0.05, "purchase-rate", False)


def test_live__traffic_shrinks__says_why_not_beside_the_field(console_editor, running):
    answer = console_editor.post(url(running), live(console_editor, running, trafficPercent="5"))

    assert answer.status_code == 422
    assert "grow, not shrink" in answer.context["design"].errors["trafficPercent"][0]


def test_live__viewer_or_outsider__may_not(console_viewer, console_outsider, running):
    assert console_viewer.get(url(running)).status_code == 403
    assert console_outsider.get(url(running)).status_code == 404


@pytest.mark.parametrize("is_started", [True, False])
def test_edit__somebody_else_saved__shows_their_change_and_keeps_both(console_editor, draft, is_started):
    if is_started:
        draft, _ = services.start_experiment(actor=ALICE, environment=draft.environment, pk=draft.pk)
    context = console_editor.get(url(draft)).context
    texts = context["design"].texts
    sent = {
        **texts, "version": context["version"], "base": context["base"], "hypothesis": "Mine", "name": "My name",
        "guardrail-0-metric": "errors", "guardrail-0-marginPercent": "2.0", "guardrail-0-action": "pause",
    }  # fmt: skip
    services.update_experiment(
        actor=ALICE,
        environment=draft.environment,
        pk=draft.pk,
        payload={"name": "Their name", "trafficPercent": 40},
        version=draft.version,
    )

    answer = console_editor.post(url(draft), sent)

    assert answer.status_code == 409
    conflict, design = answer.context["conflict"], answer.context["design"]
    assert conflict["who"] == "alice"
    assert {change["path"] for change in conflict["changes"]} == {"name", "trafficPercent"}
    assert conflict["both"] == ["name"]
    assert (design.texts["name"], design.texts["hypothesis"], design.texts["trafficPercent"]) == (
        "My name",
        "Mine",
        "40",
    )

    again = {**sent, "version": answer.context["version"], "base": answer.context["base"], "trafficPercent": "40"}
    assert console_editor.post(url(draft), again).status_code == 302
    draft.refresh_from_db()
    assert (draft.name, draft.hypothesis, draft.traffic_bp) == ("My name", "Mine", 4000)


def test_edit__draft_with_more_than_the_page_can_show__keeps_it(console_editor, draft):
    context = console_editor.get(url(draft)).context
    sent = {
        **context["design"].texts, "version": context["version"], "base": context["base"], "name": "Renamed",
        "guardrail-0-metric": "errors", "guardrail-0-marginPercent": "2.0", "guardrail-0-action": "pause",
    }  # fmt: skip

    assert console_editor.post(url(draft), sent).status_code == 302

    draft.refresh_from_db()
    assert draft.name == "Renamed"
    assert draft.audience == {"any": [{"attribute": "plan", "operator": "equals", "value": "pro"}]}
    assert draft.correction == Experiment.Correction.BENJAMINI_HOCHBERG


def test_edit__draft__takes_a_start_by_date_and_keeps_what_was_not_touched(console_editor, draft):
    context = console_editor.get(url(draft)).context
    sent = {
        **context["design"].texts, "version": context["version"], "base": context["base"],
        "startsAt": "2031-05-06T07:08", "alpha": "0.01",
        "guardrail-0-metric": "errors", "guardrail-0-marginPercent": "2.0", "guardrail-0-action": "pause",
    }  # fmt: skip

    assert console_editor.post(url(draft), sent).status_code == 302

    draft.refresh_from_db()
    assert draft.starts_at == datetime(2031, 5, 6, 7, 8, tzinfo=UTC)
    assert (draft.alpha, draft.winsorize_percent) == (0.01, 0.1)
    assert draft.correction == Experiment.Correction.BENJAMINI_HOCHBERG
    assert 'value="2031-05-06T07:08"' in console_editor.get(url(draft)).text


@pytest.mark.parametrize("is_started", [True, False])
def test_edit__end_left_as_it_was__stays_to_the_second(console_editor, draft, is_started):
    # The second half past two of that night in Berlin.
    end = datetime(2031, 10, 26, 1, 30, 15, tzinfo=UTC)
    draft = services.update_experiment(
        actor=ALICE, environment=draft.environment, pk=draft.pk, payload={"endsAt": end}, version=draft.version
    )
    if is_started:
        services.start_experiment(actor=ALICE, environment=draft.environment, pk=draft.pk)
    context = console_editor.get(url(draft)).context
    sent = {
        **context["design"].texts, "version": context["version"], "base": context["base"], "hypothesis": "Mine",
        "endsAt": "2031-10-26T02:30", "endsAt_zone": "Europe/Berlin",
        "guardrail-0-metric": "errors", "guardrail-0-marginPercent": "2.0", "guardrail-0-action": "pause",
    }  # fmt: skip

    shown = context["design"].instants["endsAt"].shown
    assert console_editor.post(url(draft), {**sent, "endsAt_shown": shown}).status_code == 302

    draft.refresh_from_db()
    assert (draft.hypothesis, draft.ends_at) == ("Mine", end)


def test_edit__start_that_is_no_moment__says_so_beside_the_field(console_editor, draft):
    context = console_editor.get(url(draft)).context
    sent = {**context["design"].texts, "version": context["version"], "base": context["base"], "startsAt": "soon"}

    answer = console_editor.post(url(draft), sent)

    assert answer.status_code == 422
    assert "Give a moment" in answer.context["design"].errors["startsAt"][0]


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
