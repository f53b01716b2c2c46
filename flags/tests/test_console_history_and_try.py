"""History with the way back, trying a flag on somebody, killing by tag, and the board of who has heard."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from audit.models import Entry
from flags import services
from flags.admin.flag.tryout.trace import readable
from flags.admin.flag.tryout.try_form import read_attributes
from flags.admin.list import bulk
from flags.models import FlagConfig
from flags.tests.console_documents import fields
from tenancy.errors import Invalid
from tenancy.testing import ALICE

RULE = {
    "priority": 10,
    "name": "Adults",
    "variant": "treatment",
    "conditions": [{"attribute": "age", "operator": "greater_or_equal", "value": 18}],
}


@pytest.fixture
def config(acme):
    payload = {"key": "new-checkout", "enabled": True, "tags": ["payments"], "rules": [RULE]}
    return services.create_flag(actor=ALICE, environment=acme.staging, payload=payload)[0]


def url(config, page, *more):
    return reverse(f"admin:flags_flagconfig_{page}", args=[config.pk, *more])


def update(config, **payload):
    return services.update_flag(
        actor=ALICE, environment=config.environment, key="new-checkout", payload=payload, version=None, reason="Ramp up"
    )


def test_history__works(console_viewer, config):
    update(config, rollout=[{"variant": "treatment", "percent": 25}])

    page = console_viewer.get(url(config, "history"))

    assert [version["version"] for version in page.context["versions"]] == [2, 1]
    assert "Ramp up" in page.text
    assert "rollout" in page.text
    assert "Restore version" not in page.text


def test_rollback__says_who_moves_then_goes_back_as_a_new_version(console_editor, config):
    update(config, rollout=[{"variant": "treatment", "percent": 25}])

    asked = console_editor.get(url(config, "rollback", 1))
    answer = console_editor.post(url(config, "rollback", 1), {"reason": "Too early"})

    assert "25.00 % from treatment to control" in asked.text
    assert answer.status_code == 302
    config.refresh_from_db()
    assert (config.version, config.allocation) == (3, [])
    assert config.rules.get().name == "Adults"
    assert Entry.objects.get(action="flag.rolled_back").reason == "Too early"


def test_rollback__exposures__are_not_said_to_change(console_editor, config):
    update(config, exposures="experiments")

    assert console_editor.get(url(config, "rollback", 1)).context["changes"] == []


def test_rollback__unknown_version__is_not_found(console_editor, config):
    assert console_editor.get(url(config, "rollback", 99)).status_code == 404


def test_try__user__gets_the_answer_with_its_steps(console_viewer, config):
    page = console_viewer.get(url(config, "try"), {"user": "bob", "attributes": "age=34"})

    assert page.context["answer"]["variant"] == "treatment"
    assert "Rule “Adults” applies." in page.text
    assert "age is at least 18 - it is 34" in page.text


def test_try__text_where_a_number_belongs__says_so(console_viewer, config):
    page = console_viewer.get(url(config, "try"), {"user": "bob", "attributes": '{"age": "34"}'})

    assert page.context["answer"]["variant"] == "control"
    assert "takes a number" in page.text


def test_try__earlier_version_and_time__answer_as_then(console_viewer, config):
    before = config.environment.changes.order_by("-version").first()
    update(config, enabled=False)

    now = console_viewer.get(url(config, "try"), {"user": "bob", "attributes": "age=34"})
    then = console_viewer.get(
        url(config, "try"), {"user": "bob", "attributes": "age=34", "configVersion": before.version}
    )
    at = {"user": "bob", "attributes": "age=34", "at": (timezone.now() - timedelta(days=1)).isoformat()}
    too_early = console_viewer.get(url(config, "try"), at)

    assert now.context["answer"]["reason"] == "DISABLED"
    assert then.context["answer"]["variant"] == "treatment"
    assert "There is no flag" in too_early.text


def test_try__time_of_ones_own_clock__is_that_instant_or_says_why_not(console_viewer, config):
    soon = timezone.now() + timedelta(hours=5, minutes=32)
    asked = {"user": "bob", "attributes": "age=34", "at": f"{soon:%Y-%m-%dT%H:%M}", "at_zone": "Asia/Kolkata"}

    now = console_viewer.get(url(config, "try"), asked)
    earlier = console_viewer.get(url(config, "try"), {**asked, "at_zone": "Pacific/Kiritimati"})
    skipped = console_viewer.get(url(config, "try"), {**asked, "at": "2026-03-29T02:30", "at_zone": "Europe/Berlin"})

    assert now.context["answer"]["variant"] == "treatment"
    assert "There is no flag" in earlier.text
    assert "There is no 02:30" in skipped.context["form"].errors["at"][0]
    assert 'value="2026-03-29T02:30"' in skipped.text


@pytest.mark.parametrize(
    ("field", "text", "expected"),
    [
        ("attributes", "country", "Write &#x27;country&#x27; as name=value"),
        ("attributes", '{"age": ' * 5000, "The attributes are no JSON object"),
        ("configVersion", "two", "A configuration version is a whole number."),
        ("configVersion", "9" * 30, "Ensure this value is less than or equal to"),
        ("configVersion", "99", "The environment has the versions 0 to"),
    ],
)
def test_try__field_that_cannot_be_read__says_so(console_viewer, config, field, text, expected):
    page = console_viewer.get(url(config, "try"), {"users": "bob", field: text})

    assert page.status_code == 200
    assert expected in page.text


def test_try__list_of_users__answers_each(console_viewer, config):
    page = console_viewer.get(url(config, "try"), {"users": "bob\ncarol\n\n", "attributes": "age=17"})

    assert [(row["user"], row["answer"].variant) for row in page.context["answers"]] == [
        ("bob", "control"),
        ("carol", "control"),
    ]


def test_try_draft__unsaved_change__answers_as_it_would_be(console_editor, config):
    sent = fields(console_editor, config, defaultVariant="treatment", rules=[])
    sent |= {"try-user": "bob", "try-attributes": "age=3"}

    answer = console_editor.post(url(config, "try_draft"), sent)

    assert "treatment" in answer.text
    assert "with your unsaved change" in answer.text
    config.refresh_from_db()
    assert config.version == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("country=US\nage=34\npro=true\nnote=a=b", {"country": "US", "age": 34, "pro": True, "note": "a=b"}),
        ('{"tags": ["a", 1]}', {"tags": ["a", 1]}),
    ],
)
def test_attributes__as_people_write_them__are_read(text, expected):
    assert read_attributes(text) == expected


@pytest.mark.parametrize("text", ["country", "=US", "{country: US}", '{"a": NaN}', '{"a":' * 5000])
def test_attributes__unreadable__are_refused_with_what_to_write(text):
    with pytest.raises(Invalid):
        read_attributes(text)


def test_trace__step_nobody_knows__is_shown_by_its_name():
    (line,) = readable([{"step": "something_new", "decides": True}])

    assert (line.text, line.decides) == ("Something new.", True)


def test_kill_tag__says_what_then_kills_every_flag_with_it(console_editor, acme, config):
    services.create_flag(actor=ALICE, environment=acme.staging, payload={"key": "other", "tags": ["payments"]})
    services.create_flag(actor=ALICE, environment=acme.staging, payload={"key": "apart", "tags": ["look"]})
    page = f"{reverse('admin:flags_flagconfig_kill_tag')}?environment={acme.staging.pk}"

    shown = console_editor.get(f"{page}&tag=payments")
    refused = console_editor.post(page, {"tag": "payments", "kill": ""})
    done = console_editor.post(page, {"tag": "payments", "kill": "", "reason": "Provider is down"})

    assert "Kill all 2" in shown.text
    assert refused.status_code == 422
    assert done.status_code == 302
    killed = FlagConfig.objects.exclude(kill_switch_variant="").values_list("flag__key", flat=True)
    assert sorted(killed) == ["new-checkout", "other"]
    console_editor.post(page, {"tag": "payments", "release": ""})
    assert not FlagConfig.objects.exclude(kill_switch_variant="").exists()


def test_kill_tag__more_than_are_shown__counts_them_all(console_editor, acme, config, monkeypatch):
    monkeypatch.setattr(bulk, "MOST_SHOWN", 1)
    for key in ("one", "two"):
        services.create_flag(actor=ALICE, environment=acme.staging, payload={"key": key, "tags": ["pay"]})
    page = f"{reverse('admin:flags_flagconfig_kill_tag')}?environment={acme.staging.pk}"

    asked = console_editor.get(f"{page}&tag=pay").text

    assert "And 1 more." in asked
    assert "Kill all 2" in asked


def test_kill_tag__viewer__may_not(console_viewer, acme, config):
    page = f"{reverse('admin:flags_flagconfig_kill_tag')}?environment={acme.staging.pk}"

    assert console_viewer.post(page, {"tag": "payments", "kill": "", "reason": "x"}).status_code == 403
    listed = f"{reverse('admin:flags_flagconfig_changelist')}?environment={acme.staging.pk}"
    assert "Kill by tag" not in console_viewer.get(listed).text


def test_board__after_a_kill__says_what_everybody_gets_and_why(console_viewer, config):
    services.kill_flag(actor=ALICE, environment=config.environment, key="new-checkout", reason="Errors")

    page = console_viewer.get(url(config, "kill_status"))
    part = console_viewer.get(url(config, "kill_status"), {"part": "1"})

    assert "everybody gets control" in page.text
    assert "Errors" in part.text
    assert "No service is connected" in part.text
    assert "<html" not in part.text


def test_exposures__nobody_yet__says_so(console_viewer, config):
    assert "Nobody got this flag" in console_viewer.get(url(config, "exposures")).text


@pytest.mark.parametrize("page", ["try", "try_draft", "exposures", "kill_status"])
def test_outsider__finds_nothing(console_outsider, config, page):
    assert console_outsider.get(url(config, page)).status_code == 404
    assert console_outsider.post(url(config, page)).status_code == 404


def test_rollback__viewer_and_outsider__may_not(console_viewer, console_outsider, config):
    assert console_viewer.post(url(config, "rollback", 1)).status_code == 403
    assert console_outsider.post(url(config, "rollback", 1)).status_code == 404
