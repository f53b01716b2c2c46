"""The designer: a draft from one page, what it refuses, and the plan beside it."""

import pytest
from django.urls import reverse

from experiments import services
from experiments.models import Experiment, Metric
from flags import services as flag_services
from flags.models import FlagConfig
from tenancy.testing import ALICE


@pytest.fixture
def config(acme):
    return flag_services.create_flag(actor=ALICE, environment=acme.staging, payload={"key": "new-checkout"})[0]


def design(**changes):
    return {
        "name": "One page sells more",
        "hypothesis": "Fewer steps",
        "flagKey": "new-checkout",
        "controlVariant": "control",
        "split": "even",
        "trafficPercent": "50",
        "newEvent": "order placed",
        "method": "obrien_fleming",
        "alpha": "0.05",
        "plannedUsers": "2000",
        "rules-0-conditions-7-attribute": "country",
        "rules-0-conditions-7-operator": "equals",
        "rules-0-conditions-7-value": "US",
        "rules-0-conditions-7-kind": "text",
        **changes,
    }


def add_url(acme):
    return f"{reverse('admin:experiments_experiment_add')}?environment={acme.staging.pk}"


def test_create__works(console_editor, acme, config):
    assert console_editor.get(add_url(acme)).status_code == 200

    answer = console_editor.post(add_url(acme), design())

    assert answer.status_code == 302
    made = Experiment.objects.get()
    assert (made.name, made.traffic_bp, made.method, made.planned_users) == (
        "One page sells more",
        5000,
        "obrien_fleming",
        2000,
    )
    assert made.audience == {"all": [{"attribute": "country", "operator": "equals", "value": "US"}]}
    assert (made.primary_metric.key, made.primary_metric.event_name) == ("order-placed", "order placed")
    config.refresh_from_db()
    assert config.is_enabled
    assert config.allocation == [[0, 5000, "control"], [5000, 10000, "treatment"]]
    started, _ = services.start_experiment(actor=ALICE, environment=acme.staging, pk=made.pk)
    assert started.status == Experiment.Status.RUNNING


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "name"),
        ({"newEvent": ""}, "primaryMetric"),
        ({"trafficPercent": "much"}, "trafficPercent"),
        ({"trafficPercent": "0"}, "trafficPercent"),
        ({"plannedUsers": ""}, "plannedUsers"),
        ({"plannedUsers": "-1"}, "plannedUsers"),
        ({"alpha": "2"}, "alpha"),
        ({"endsAt": "soon"}, "endsAt"),
        ({"winsorizePercent": "50"}, "winsorizePercent"),
        ({"winsorizePercent": "few"}, "winsorizePercent"),
        ({"correction": "bonferroni"}, "correction"),
        ({"method": "bayes"}, "method"),
        ({"rules-0-conditions-7-operator": "less_than", "rules-0-conditions-7-value": "ten"}, "audience"),
    ],
)
def test_create__wrong_input__says_so_beside_the_field_and_leaves_nothing(console_editor, acme, config, changes, field):
    answer = console_editor.post(add_url(acme), design(**changes))

    assert answer.status_code == 422
    assert answer.context["design"].errors[field]
    assert not Experiment.objects.exists()
    assert not Metric.objects.exists()
    assert not FlagConfig.objects.get(pk=config.pk).is_enabled


def test_create__without_a_word_on_the_analysis__corrects_by_holm_and_caps_nobody(console_editor, acme, config):
    console_editor.post(add_url(acme), design())

    made = Experiment.objects.get()
    assert (made.correction, made.winsorize_percent) == (Experiment.Correction.HOLM, None)


def test_edit__correction_and_cap__are_saved_and_shown(console_editor, acme, config):
    console_editor.post(add_url(acme), design(correction="bh", winsorizePercent="0,5"))
    made = Experiment.objects.get()
    assert (made.correction, made.winsorize_percent) == (Experiment.Correction.BENJAMINI_HOCHBERG, 0.5)
    url = reverse("admin:experiments_experiment_edit", args=[made.pk])
    shown = console_editor.get(url)

    sent = design(version=made.version, primaryMetric="order-placed", newEvent="", correction="none")
    assert console_editor.post(url, {**sent, "base": shown.context["base"], "winsorizePercent": ""}).status_code == 302

    texts = shown.context["design"].texts
    assert (texts["correction"], texts["winsorizePercent"]) == ("bh", "0.5")
    made.refresh_from_db()
    assert (made.correction, made.winsorize_percent) == (Experiment.Correction.NONE, None)
    page = console_editor.get(reverse("admin:experiments_experiment_change", args=[made.pk])).text
    assert "<dt>Correction</dt><dd>None</dd>" in page


def test_edit__draft__saves_what_was_changed(console_editor, acme, config):
    console_editor.post(add_url(acme), design())
    made = Experiment.objects.get()
    url = reverse("admin:experiments_experiment_edit", args=[made.pk])
    shown = console_editor.get(url).context["design"]

    answer = console_editor.post(
        url, design(version=made.version, primaryMetric="order-placed", newEvent="", trafficPercent="75")
    )

    assert shown.texts["trafficPercent"] == "50"
    assert shown.audience[0].attribute == "country"
    assert answer.status_code == 302
    made.refresh_from_db()
    assert made.traffic_bp == 7500


def test_edit__changed_meanwhile__says_so_and_overwrites_nothing(console_editor, acme, config):
    console_editor.post(add_url(acme), design())
    made = Experiment.objects.get()
    services.update_experiment(
        actor=ALICE, environment=acme.staging, pk=made.pk, payload={"trafficPercent": 20}, version=made.version
    )

    answer = console_editor.post(
        reverse("admin:experiments_experiment_edit", args=[made.pk]),
        design(version=made.version, primaryMetric="order-placed", newEvent=""),
    )

    assert answer.status_code == 409
    made.refresh_from_db()
    assert made.traffic_bp == 2000


def test_plan__rate_and_effect__gives_users(console_editor, acme, config):
    url = f"{reverse('admin:experiments_experiment_plan')}?environment={acme.staging.pk}"

    answer = console_editor.post(
        url, design(method="fixed", **{"plan-baseline": "10", "plan-effect": "20", "plan-power": "80"})
    )

    # R: power.prop.test(p1=.1, p2=.12, power=.8) says 3841 in each arm.
    assert "7,682 users" in answer.text
    assert "not known before there is traffic" in answer.text


def plan_of(client, acme, **changes):
    url = f"{reverse('admin:experiments_experiment_plan')}?environment={acme.staging.pk}"
    return client.post(url, design(method="fixed", **{"plan-effect": "20", "plan-power": "80", **changes}))


def test_plan__three_variants__takes_users_for_the_third_too(console_editor, acme):
    variants = [{"key": key, "value": key} for key in ("control", "red", "blue")]
    payload = {"key": "colour", "type": "string", "variants": variants}
    flag_services.create_flag(actor=ALICE, environment=acme.staging, payload=payload)

    asked = {"flagKey": "colour", "split": "even", "plan-baseline": "10"}
    corrected = plan_of(console_editor, acme, **asked)
    uncorrected = plan_of(console_editor, acme, correction="none", **asked)

    # R: power.prop.test(p1=.1, p2=.12, power=.8, sig.level=.05 and .025) says 3841 and 4652 in each of the three arms.
    assert uncorrected.context["users"] == 3 * 3841
    assert corrected.context["users"] == 3 * 4652


def test_plan__uneven_split__is_the_flags_own(console_editor, acme, config):
    rollout = [{"variant": "treatment", "percent": 10}]
    flag_services.update_flag(
        actor=ALICE, environment=acme.staging, key="new-checkout", payload={"rollout": rollout}, version=None
    )

    answer = plan_of(console_editor, acme, split="keep", **{"plan-baseline": "10"})

    assert answer.context["answer"]["usersPerArm"]["control"] == pytest.approx(
        9 * answer.context["answer"]["usersPerArm"]["treatment"], rel=0.001
    )
    assert answer.context["users"] > 2 * 7682


@pytest.mark.parametrize(
    ("kind", "sd", "users", "said"),
    [
        # Twice the square of (1.96 + 0.84) * 20 / 2 is 1570, in each arm.
        ("continuous", "20", 3140, "users</strong> in all to see a change of 20 % (from 10)"),
        ("continuous", "", None, "the standard deviation"),
        ("ratio", "20", None, "no number of users can be worked out"),
    ],
)
def test_plan__other_metrics__by_mean_and_deviation_or_not_at_all(  # noqa: PLR0917 - the table's columns
    console_editor, acme, config, kind, sd, users, said
):
    metric = {"key": "revenue", "type": kind, "eventName": "purchase"}
    more = {"denominatorEventName": "visit"} if kind == "ratio" else {}
    services.create_metric(actor=ALICE, environment=acme.staging, payload={**metric, **more})

    answer = plan_of(console_editor, acme, primaryMetric="revenue", **{"plan-baseline": "10", "plan-sd": sd})

    assert answer.context.get("users") == pytest.approx(users, abs=4) if users else "users" not in answer.context
    assert said in " ".join(answer.text.split())


@pytest.mark.parametrize("page", ["add", "plan"])
def test_viewer__may_not_design(console_viewer, acme, config, page):
    url = f"{reverse(f'admin:experiments_experiment_{page}')}?environment={acme.staging.pk}"

    assert console_viewer.post(url, design()).status_code == 403
    assert not Experiment.objects.exists()
