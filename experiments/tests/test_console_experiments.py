"""The console's experiment pages: what the results page says, who may act, and what each act does."""

from datetime import timedelta

import pytest
from django.urls import reverse

from audit.models import Entry
from experiments import services
from experiments.analysis import window_of
from experiments.models import Experiment
from flags import services as flag_services
from tenancy.testing import ALICE

from .conftest import START

HALF = [{"variant": "treatment", "percent": 50}]


@pytest.fixture
def draft(acme):
    environment = acme.production
    flag_services.create_flag(
        actor=ALICE, environment=environment, payload={"key": "new-checkout", "enabled": True, "rollout": HALF}
    )
    metric = {"key": "purchase-rate", "name": "Purchases", "type": "binary", "eventName": "purchase", "windowHours": 24}
    services.create_metric(actor=ALICE, environment=environment, payload=metric)
    content = {
        "name": "Checkout",
        "flagKey": "new-checkout",
        "primaryMetric": "purchase-rate",
        "hypothesis": "Fewer steps",
    }
    return services.create_experiment(actor=ALICE, environment=environment, payload=content)


@pytest.fixture
def running(draft, expose):
    experiment, _ = services.start_experiment(actor=ALICE, environment=draft.environment, pk=draft.pk, at=START)
    expose(experiment, {"control": 200, "treatment": 200}, converted={"control": 20, "treatment": 28})
    expose(experiment, {"control": 150, "treatment": 40}, at=START + timedelta(days=1, hours=3), prefix="odd")
    expose(experiment, {"control": 150, "treatment": 260}, at=START + timedelta(days=2, hours=3), prefix="even")
    return experiment


def url(experiment, page, *more):
    return reverse(f"admin:experiments_experiment_{page}", args=[experiment.pk, *more])


def test_list__works(console_viewer, acme, draft):
    page = console_viewer.get(reverse("admin:experiments_experiment_changelist"), {"environment": acme.production.pk})

    assert "Checkout" in page.text
    assert "Draft" in page.text


def test_results__works(console_viewer, running):
    page = console_viewer.get(url(running, "results"))

    assert page.status_code == 200
    payload = page.context["payload"]
    assert [row["users"] for row in payload["variants"]] == [500, 500]
    assert "The sample ratio was off on single days" in page.text
    assert "2026-03-03 is flagged" in page.text
    assert "4.00 %" in page.text
    assert "5.60 %" in page.text
    assert "+1.60 points" in page.text
    assert payload["recommendation"]["text"] in page.text
    assert "The chance to beat the control comes from one prior for all metrics" in page.text
    for caveat in payload["caveats"]:
        assert caveat.split("'")[0] in page.text


def test_results__charts__say_in_text_what_they_draw(console_viewer, running):
    page = console_viewer.get(url(running, "results"))

    assert 'aria-label="New users per day. 3 days, at most 410 new users a day' in page.text
    assert "Flagged: 2026-03-03" in page.text
    assert 'class="fs-flagged"' in page.text
    head, *rows = page.context["figures"]["users-per-day"].chart["table"]["rows"]
    assert head[:3] == ["2026-03-02", "200", "200"]
    assert rows[0][:3] == ["2026-03-03", "150", "40"]
    assert rows[0][-1] == "warning"


def test_results__not_started__says_so(console_viewer, draft):
    page = console_viewer.get(url(draft, "results"))

    assert page.status_code == 200
    assert "has not started" in page.text


def test_results__of_a_stored_row__are_the_ones_of_then(console_viewer, running, expose):
    row, _ = services.store_results(experiment=running, window=window_of(running))
    expose(running, {"control": 10}, at=START + timedelta(days=3), prefix="later")

    page = console_viewer.get(url(running, "stored", row.pk))

    assert [variant["users"] for variant in page.context["payload"]["variants"]] == [500, 500]
    assert "As stored" in page.text


def test_export__works(console_viewer, running):
    answer = console_viewer.get(url(running, "export"))

    assert answer["Content-Type"].startswith("text/csv")
    assert "control,500,20,0.04," in answer.text
    assert "2026-03-03,150,40," in answer.text


def test_start__editor__works(console_editor, draft):
    assert "Nothing stands in its way" in console_editor.get(url(draft, "start")).text

    answer = console_editor.post(url(draft, "start"), {"reason": "Agreed on Monday"})

    assert answer.status_code == 302
    draft.refresh_from_db()
    assert draft.status == Experiment.Status.RUNNING
    assert "locked" in console_editor.get(reverse("admin:flags_flagconfig_change", args=[draft.config_id])).text


def test_delete__draft__says_what_goes_and_is_audited_with_its_reason(console_editor, draft):
    page = console_editor.get(url(draft, "change")).text
    assert f'href="{url(draft, "delete")}"' in page
    asked = console_editor.get(url(draft, "delete")).text
    assert "new-checkout stays as it is" in asked
    assert "start by itself" not in asked

    answer = console_editor.post(url(draft, "delete"), {"reason": "Nobody wants it"}, follow=True)

    assert "Checkout is deleted." in answer.text
    assert not Experiment.objects.exists()
    entry = Entry.objects.get(action="experiment.deleted")
    assert (entry.actor_label, entry.entity_key, entry.reason) == ("eddie", str(draft.pk), "Nobody wants it")


def test_delete__draft_with_a_start_planned__says_that_it_will_not(console_editor, draft):
    Experiment.objects.update(starts_at=START)

    assert "It will not start by itself" in console_editor.get(url(draft, "delete")).text


def test_delete__has_run__is_refused_and_not_offered(console_editor, running):
    assert url(running, "delete") not in console_editor.get(url(running, "change")).text

    answer = console_editor.post(url(running, "delete"))

    assert answer.status_code == 409
    assert "Only a draft can be deleted" in answer.text
    assert Experiment.objects.exists()


def test_delete__viewer_or_outsider__may_not(console_viewer, console_outsider, draft):
    assert url(draft, "delete") not in console_viewer.get(url(draft, "change")).text
    assert console_viewer.post(url(draft, "delete")).status_code == 403
    assert console_outsider.post(url(draft, "delete")).status_code == 404
    assert Experiment.objects.exists()


def test_start__flag_off__says_why_not(console_editor, draft):
    flag_services.update_flag(
        actor=ALICE, environment=draft.environment, key="new-checkout", payload={"enabled": False}, version=None
    )

    answer = console_editor.post(url(draft, "start"))

    assert answer.status_code == 422
    assert "Switch it on first" in answer.text
    draft.refresh_from_db()
    assert draft.status == Experiment.Status.DRAFT


def test_complete__ship__rolls_out_and_says_so(console_editor, running):
    answer = console_editor.post(url(running, "complete"), {"choice": "ship:treatment", "reason": "Better"})

    assert answer.status_code == 302
    running.refresh_from_db()
    running.config.refresh_from_db()
    assert (running.decision, running.shipped_variant) == ("ship", "treatment")
    assert running.config.allocation == [[0, 10000, "treatment"]]


def test_complete__no_choice__asks_for_one(console_editor, running):
    answer = console_editor.post(url(running, "complete"), {})

    assert answer.status_code == 422
    running.refresh_from_db()
    assert running.status == Experiment.Status.RUNNING


@pytest.mark.parametrize("act", ["start", "pause", "resume", "restart", "complete"])
def test_viewer__may_not_act(console_viewer, running, act):
    assert f"/{act}/" not in console_viewer.get(url(running, "change")).text
    assert console_viewer.post(url(running, act), {"choice": "stop"}).status_code == 403


@pytest.mark.parametrize("page", ["change", "results", "export", "start", "pause", "resume", "restart", "complete"])
def test_outsider__finds_nothing(console_outsider, running, page):
    assert console_outsider.get(url(running, page)).status_code == 404
    assert console_outsider.post(url(running, page)).status_code == 404


def test_layer__map__names_the_flag_whose_experiment_has_a_share(console_viewer, acme, draft):
    layer, _ = flag_services.create_layer(actor=ALICE, environment=acme.production, payload={"key": "checkout"})
    changed = {"layer": "checkout", "trafficPercent": 30}
    services.update_experiment(
        actor=ALICE, environment=acme.production, pk=draft.pk, payload=changed, version=draft.version
    )
    services.start_experiment(actor=ALICE, environment=acme.production, pk=draft.pk)

    page = console_viewer.get(reverse("admin:flags_layer_change", args=[layer.pk]))

    taken = [part for part in page.context["parts"] if part["id"]]
    assert [(part["name"], part["share"]) for part in taken] == [("on new-checkout", 0.3)]
