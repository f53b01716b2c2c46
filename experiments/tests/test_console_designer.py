"""The designer: a draft from one page, what it refuses, and the plan beside it."""

import json

import pytest
from django.urls import reverse

from experiments import services
from experiments.models import Experiment, Metric
from flags import services as flag_services
from flags.models import FlagConfig
from tenancy.console_kit.pages import object_url
from tenancy.testing import ALICE


@pytest.fixture
def config(acme):
    return flag_services.create_flag(actor=ALICE, environment=acme.staging, payload={"key": "new-checkout"})[0]


def document(**changes):
    return {
        "name": "One page sells more",
        "hypothesis": "Fewer steps",
        "flagKey": "new-checkout",
        "controlVariant": "control",
        "trafficPercent": 50,
        "audience": {"all": [{"attribute": "country", "operator": "equals", "value": "US"}]},
        "analysis": {"method": "obrien_fleming", "alpha": 0.05, "plannedUsers": 2000},
        **changes,
    }


def design(*, new_event="order placed", **changes):
    """What the designer's page sends: the document, and what is no part of it."""
    return {"document": json.dumps(document(**changes)), "newEvent": new_event}


def edited(page, **changes):
    """What the editor's page sends with these fields changed."""
    edit = page.context["edit"]
    sent = {**edit.document, **changes}
    return {"version": edit.version, "base": edit.base_text, "document": json.dumps(sent, default=str)}


def analysis(**changes):
    return {"analysis": {**document()["analysis"], **changes}}


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
    assert made.allocation == [[0, 5000, "control"], [5000, 10000, "treatment"]]
    config.refresh_from_db()
    assert (config.is_enabled, config.allocation, config.version) == (False, [], 1), "a draft leaves the flag alone"
    url = reverse("admin:experiments_experiment_start", args=[made.pk])
    assert "Switched on, it serves those who take no part 100 % control" in console_editor.get(url).text
    assert console_editor.post(url, {"reason": ""}).status_code == 422
    assert console_editor.post(url, {"reason": "", "enable_flag": "on"}).status_code == 302
    made.refresh_from_db()
    assert made.status == Experiment.Status.RUNNING


def test_design__on_a_rule__is_prefilled_from_it(console_editor, acme, config):
    conditions = [{"attribute": "plan", "operator": "equals", "value": "pro"}]
    rule = {
        "priority": 10,
        "name": "Pro",
        "conditions": conditions,
        "rollout": [{"variant": "treatment", "percent": 25}],
    }
    flag_services.update_flag(
        actor=ALICE, environment=acme.staging, key="new-checkout", payload={"rules": [rule]}, version=None
    )
    address = f"{add_url(acme)}&flag=new-checkout&rule={config.rules.get().pk}"
    assert address.replace("&", "&amp;") in console_editor.get(object_url(config)).text
    page = console_editor.get(address)
    shown = page.context["design"]
    assert (shown["flagKey"], shown["priority"], shown["shares"]) == ("new-checkout", "9", '{"treatment": "25"}')
    assert page.context["conditions"][0]["attribute"] == "plan"


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"name": ""}, "name"),
        ({"new_event": ""}, "primaryMetric"),
        ({"trafficPercent": "much"}, "trafficPercent"),
        ({"trafficPercent": 0}, "trafficPercent"),
        (analysis(plannedUsers=None), "analysis.plannedUsers"),
        (analysis(plannedUsers=-1), "analysis.plannedUsers"),
        (analysis(alpha=2), "analysis.alpha"),
        (analysis(winsorizePercent=50), "analysis.winsorizePercent"),
        (analysis(winsorizePercent="few"), "analysis.winsorizePercent"),
        (analysis(correction="bonferroni"), "analysis.correction"),
        (analysis(method="bayes"), "analysis.method"),
        ({"endsAt": "soon"}, "endsAt"),
        (
            {"audience": {"all": [{"attribute": "age", "operator": "less_than", "value": "ten"}]}},
            "audience.all[0].value",
        ),
        ({"guardrails": [{"metric": "errors", "marginPercent": 1}]}, "guardrails[0].metric"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_create__wrong_input__says_so_by_its_path_and_leaves_nothing(console_editor, acme, config, changes, path):
    answer = console_editor.post(add_url(acme), design(**changes))

    assert answer.status_code == 422
    assert path in [problem.attr for problem in answer.context["edit"].problems]
    assert f'data-path="{path}"' in answer.text
    assert not Experiment.objects.exists()
    assert not Metric.objects.exists()
    assert not FlagConfig.objects.get(pk=config.pk).is_enabled


@pytest.mark.parametrize("sent", ["", "no JSON", "[]", '{"guardrails": 3, "analysis": [], "startsAt": {}}'])
def test_create__document_of_another_shape__is_refused_and_shown(console_editor, acme, config, sent):
    answer = console_editor.post(add_url(acme), {**design(), "document": sent})

    assert answer.status_code == 422
    assert answer.context["edit"].problems
    assert not Experiment.objects.exists()


def test_create__without_a_word_on_the_analysis__corrects_by_holm_and_caps_nobody(console_editor, acme, config):
    console_editor.post(add_url(acme), design())

    made = Experiment.objects.get()
    assert (made.correction, made.winsorize_percent) == (Experiment.Correction.HOLM, None)


def test_edit__correction_and_cap__are_saved_and_shown(console_editor, acme, config):
    console_editor.post(add_url(acme), design(**analysis(correction="bh", winsorizePercent=0.5)))
    made = Experiment.objects.get()
    assert (made.correction, made.winsorize_percent) == (Experiment.Correction.BENJAMINI_HOCHBERG, 0.5)
    url = reverse("admin:experiments_experiment_edit", args=[made.pk])
    shown = console_editor.get(url)

    assert console_editor.post(url, edited(shown, **analysis(correction="none"))).status_code == 302

    fields = shown.context["design"]["analysis"]
    assert (fields["correction"], fields["winsorizePercent"]) == ("bh", "0.5")
    made.refresh_from_db()
    assert (made.correction, made.winsorize_percent) == (Experiment.Correction.NONE, None)
    page = console_editor.get(reverse("admin:experiments_experiment_change", args=[made.pk])).text
    assert "<dt>Correction</dt><dd>None</dd>" in page


def test_edit__draft__saves_what_was_changed(console_editor, acme, config):
    console_editor.post(add_url(acme), design())
    made = Experiment.objects.get()
    url = reverse("admin:experiments_experiment_edit", args=[made.pk])
    shown = console_editor.get(url)

    answer = console_editor.post(url, edited(shown, trafficPercent=75))

    assert shown.context["design"]["trafficPercent"] == "50"
    assert shown.context["conditions"][0]["attribute"] == "country"
    assert answer.status_code == 302
    made.refresh_from_db()
    assert made.traffic_bp == 7500


def test_edit__changed_meanwhile__says_so_and_overwrites_nothing(console_editor, acme, config):
    console_editor.post(add_url(acme), design())
    made = Experiment.objects.get()
    url = reverse("admin:experiments_experiment_edit", args=[made.pk])
    shown = console_editor.get(url)
    services.update_experiment(
        actor=ALICE, environment=acme.staging, pk=made.pk, payload={"trafficPercent": 20}, version=made.version
    )

    answer = console_editor.post(url, edited(shown, trafficPercent=75))

    assert answer.status_code == 409
    made.refresh_from_db()
    assert made.traffic_bp == 2000


FIXED = analysis(method="fixed")


def test_plan__rate_and_effect__gives_users(console_editor, acme, config):
    url = f"{reverse('admin:experiments_experiment_plan')}?environment={acme.staging.pk}"

    answer = console_editor.post(
        url, {**design(**FIXED), "plan-baseline": "10", "plan-effect": "20", "plan-power": "80"}
    )

    # R: power.prop.test(p1=.1, p2=.12, power=.8) says 3841 in each arm.
    assert "7,682 users" in answer.text
    assert "not known before there is traffic" in answer.text


def plan_of(client, acme, *, plan, **changes):
    url = f"{reverse('admin:experiments_experiment_plan')}?environment={acme.staging.pk}"
    typed = {f"plan-{name}": text for name, text in {"effect": "20", "power": "80", **plan}.items()}
    return client.post(url, {**design(**{**FIXED, **changes}), **typed})


def test_plan__three_variants__takes_users_for_the_third_too(console_editor, acme):
    variants = [{"key": key, "value": key} for key in ("control", "red", "blue")]
    payload = {"key": "colour", "type": "string", "variants": variants}
    flag_services.create_flag(actor=ALICE, environment=acme.staging, payload=payload)

    plan = {"baseline": "10"}
    corrected = plan_of(console_editor, acme, flagKey="colour", plan=plan)
    uncorrected = plan_of(
        console_editor, acme, flagKey="colour", plan=plan, **analysis(method="fixed", correction="none")
    )

    # R: power.prop.test(p1=.1, p2=.12, power=.8, sig.level=.05 and .025) says 3841 and 4652 in each of the three arms.
    # Shares have two decimals, so the control has 33.34 % and the others 33.33 %.
    assert uncorrected.context["users"] == pytest.approx(3 * 3841, abs=2)
    assert corrected.context["users"] == pytest.approx(3 * 4652, abs=2)


def test_plan__uneven_split__is_the_experiments_own(console_editor, acme, config):
    answer = plan_of(
        console_editor, acme, allocation=[{"variant": "treatment", "percent": 10}], plan={"baseline": "10"}
    )

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

    answer = plan_of(console_editor, acme, primaryMetric="revenue", plan={"baseline": "10", "sd": sd})

    assert answer.context.get("users") == pytest.approx(users, abs=4) if users else "users" not in answer.context
    assert said in " ".join(answer.text.split())


@pytest.mark.parametrize("page", ["add", "plan"])
def test_viewer__may_not_design(console_viewer, acme, config, page):
    url = f"{reverse(f'admin:experiments_experiment_{page}')}?environment={acme.staging.pk}"

    assert console_viewer.post(url, design()).status_code == 403
    assert not Experiment.objects.exists()


@pytest.mark.parametrize("typed", ["0", "-5", "abc", "100", ""])
def test_plan__input_that_is_no_share__is_named_beside_its_field(console_editor, acme, config, typed):
    answer = plan_of(console_editor, acme, plan={"effect": typed})

    assert list(answer.context["unreadable"]) == ["effect"]
    assert 'data-about="plan-effect">Give a percentage above 0 and below 100.' in answer.text
    assert "answer" not in answer.context
