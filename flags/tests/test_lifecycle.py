"""Owner, kind and end of a flag; its stage over the API; reminders; and that archiving asks twice at each door."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from analytics.models import FlagExposureHour
from analytics.usage import folding
from analytics.usage.batches import SDK, Counted, Source, UsageBatch
from audit.actors import Actor, system
from audit.models import Entry
from flags import services
from flags.exchange.export import export_environment
from flags.lifecycle import debt
from flags.lifecycle.evidence import NEW_DAYS, thresholds_of
from flags.models import DebtDay, Flag, FlagConfig
from flags.tasks import look_after_flags
from flags.tests.console_documents import change_url, fields
from integrations.models import Notification
from integrations.notifications.fan_out import fan_out
from tenancy.models import Membership
from tenancy.testing import ALICE


def use(environment, key, at=None):
    source = Source(environment.pk, SDK, "till", "python/0.1.0")
    counted = {Counted(source, key, "control", "DEFAULT"): 1}
    folding.fold(UsageBatch(f"{key} {at}", at or timezone.now(), counted))


def age(key, days):
    """Let the flag be as it is since so many days."""
    then = timezone.now() - timedelta(days=days)
    Flag.objects.filter(key=key).update(created_at=then, updated_at=then)
    FlagConfig.objects.filter(flag__key=key).update(created_at=then, updated_at=then)


@pytest.mark.parametrize(
    ("sent", "problem"),
    [
        ({"owner": "nobody-here"}, ("owner", "unknown_member")),
        ({"owner": "owner-of-globex"}, ("owner", "unknown_member")),
        ({"kind": "toggle"}, ("kind", "invalid_choice")),
        ({"permanent": "yes"}, ("permanent", "invalid")),
        ({"expectedEnd": "soon"}, ("expectedEnd", "invalid")),
        ({"links": [{"url": "https://example.com"}, {"url": "javascript:alert(1)"}]}, ("links[1].url", "invalid")),
        ({"links": [{"url": "https://example.com"}] * 21}, ("links", "max_length")),
    ],
    ids=["stranger", "other-tenant", "kind", "permanent", "end", "script", "many-links"],
)
@pytest.mark.usefixtures("outsider")
def test_field__value_that_is_none__is_refused_by_name(make_flag, editor, sent, problem):
    version = make_flag().version

    refused = editor.patch("flags/new-checkout", {**sent, "version": version})

    assert refused.status_code == 400
    (found,) = refused.json()["errors"]
    assert (found["attr"].removesuffix(".non_field_errors"), found["code"]) == problem


def test_owner__who_left_the_project__prevents_no_other_change(make_flag, editor, person, organization):
    make_flag(owner=person("viewer", organization, "ann").username)
    Membership.objects.filter(user__username="ann").delete()
    there = editor.get("flags/new-checkout").json()

    assert editor.patch("flags/new-checkout", {"tags": ["x"], "version": there["version"]}).json()["owner"] == "ann"
    there = editor.get("flags/new-checkout").json()
    assert editor.put("flags/new-checkout", there).json()["owner"] == "ann"


def test_import__owner_who_is_nobody_here__is_left_out_with_a_note(environment, make_flag, staging):
    make_flag(team="checkout", kind="ops", expectedEnd="2030-01-01", links=[{"title": "", "url": "https://a.example"}])
    data = export_environment(environment)
    data["flags"][0] |= {"owner": "stranger", "expectedEnd": "2031-02-03"}

    report = services.import_environment(actor=ALICE, environment=environment, data=data)

    assert report.updated == ["flag new-checkout"]
    assert [note["detail"] for note in report.notes] == [
        "Its owner 'stranger' has no role in this project and was left out."
    ]
    flag = Flag.objects.get()
    assert (flag.owner, flag.team, flag.kind, str(flag.expected_end)) == ("", "checkout", "ops", "2031-02-03")
    data["flags"][0] |= {"expectedEnd": "nonsense", "links": [{"url": "javascript:alert(1)"}]}
    (skipped,) = services.import_environment(actor=ALICE, environment=environment, data=data).skipped
    assert {problem["attr"] for problem in skipped["problems"]} == {"links[0].url", "expectedEnd"}


def test_list__by_owner_team_kind_and_stage__has_those_flags_alone(make_flag, editor, environment):
    make_flag("mine", owner="editor-of-acme", kind="release")
    make_flag("theirs", team="till", kind="ops")
    age("mine", 100)

    def keys(**query):
        return [flag["key"] for flag in editor.get("flags", **query).json()["results"]]

    assert keys(owner="editor-of-acme") == keys(kind="release") == ["mine"]
    assert keys(team="till") == keys(stage="new") == ["theirs"]
    # Evaluations have been counted since this database was made, which is too short to call a flag unused.
    assert keys(stage="complete") == ["mine"]
    assert keys(stage="ready_to_archive") == keys(stage="archived") == []
    services.archive_flag(actor=ALICE, environment=environment, key="mine")
    (archived,) = editor.get("flags", stage="archived").json()["results"]
    assert archived["lifecycle"]["reasons"][0]["code"] == "archived"
    assert editor.get("flags", stage="dead").status_code == 400
    found = editor.get("flags/theirs/lifecycle").json()
    assert (found["stage"], found["permanent"], found["references"]) == ("new", True, None)


def test_lifecycle__of_another_tenants_flag__is_not_found(make_flag, outsider):
    make_flag()

    assert outsider.get("flags/new-checkout/lifecycle").status_code == 404


def test_archive__flag_that_is_evaluated__is_confirmed_at_every_door(environment, make_flag, editor):
    make_flag()
    data = export_environment(environment)
    use(environment, "new-checkout")

    refused = editor.delete("flags/new-checkout")
    assert refused.status_code == 409
    (problem,) = refused.json()["errors"]
    assert (problem["code"], problem["attr"]) == ("still_evaluated", "confirm")
    assert "by till in Production" in problem["detail"]
    data["flags"][0]["status"] = "archived"
    report = services.import_environment(actor=ALICE, environment=environment, data=data)
    assert report.skipped[0]["problems"][0]["code"] == "still_evaluated"
    assert editor.delete("flags/new-checkout", confirm="other").status_code == 409
    assert not Flag.objects.get().is_archived

    assert editor.delete("flags/new-checkout", confirm="new-checkout").json()["status"] == "archived"


def test_archive__flag_of_which_only_exposures_tell__is_confirmed_too(environment, make_flag, editor):
    make_flag()
    hour = timezone.now().replace(minute=0, second=0, microsecond=0)
    FlagExposureHour.objects.create(
        environment_id=environment.pk,
        flag_key="new-checkout",
        hour=hour,
        variant="x",
        reason="SPLIT",
        exposures=1,
        bots=0,
    )

    (problem,) = editor.delete("flags/new-checkout").json()["errors"]
    assert (problem["code"], "by another service in Production" in problem["detail"]) == ("still_evaluated", True)


def test_owner__who_is_new__does_not_make_a_flag_look_changed(make_flag, editor):
    make_flag(kind="release")
    age("new-checkout", 100)
    then = editor.get("flags/new-checkout/lifecycle").json()
    there = editor.get("flags/new-checkout").json()

    saved = editor.patch("flags/new-checkout", {"owner": "editor-of-acme", "version": there["version"]}).json()
    found = editor.get("flags/new-checkout/lifecycle").json()
    assert (saved["owner"], saved["updatedAt"] > there["updatedAt"]) == ("editor-of-acme", True)
    assert (found["stage"], found["reasons"]) == ("complete", then["reasons"])

    editor.patch("flags/new-checkout", {"enabled": False, "team": "till", "version": saved["version"]})
    assert editor.get("flags/new-checkout/lifecycle").json()["stage"] == "live"


def test_archive__flag_that_was_evaluated_long_ago__needs_no_second_word(environment, make_flag, editor):
    make_flag()
    use(environment, "new-checkout", timezone.now() - timedelta(days=8))

    assert editor.delete("flags/new-checkout").status_code == 200


def test_project__limits__are_its_own_and_within_bounds(environment, project, admin):
    for wrong in (6, 4000, 1.5):
        assert admin.patch("projects/web", {"flagUnusedDays": wrong, "version": 1}).status_code == 400, wrong

    changed = admin.patch("projects/web", {"flagUnusedDays": 90, "flagUnchangedDays": 3, "version": 1}).json()

    assert (changed["flagUnusedDays"], changed["flagUnchangedDays"], changed["flagNewDays"]) == (90, 3, None)
    project.refresh_from_db()
    limits = thresholds_of(project)
    assert (limits.unused_days, limits.unchanged_days, limits.new_days) == (90, 3, NEW_DAYS)
    assert admin.patch("projects/web", {"flagUnusedDays": None, "version": 2}).json()["flagUnusedDays"] is None


def test_reminder__of_a_flag_past_its_end__reaches_its_owner_once_a_week(environment, make_flag, person, organization):
    ann, maker = (person("editor", organization, name) for name in ("ann", "maker"))
    made_by = Actor(kind="user", id=str(maker.pk), label=maker.username)
    content = {"key": "new-checkout", "owner": "ann", "expectedEnd": "2020-01-01"}
    services.create_flag(actor=made_by, environment=environment, payload=content)
    make_flag("other")

    assert look_after_flags() == 1
    assert look_after_flags() == 0

    (entry,) = Entry.objects.filter(action="flag.reminded")
    assert (entry.entity_key, entry.project, entry.environment) == ("new-checkout", "web", "")
    assert entry.reason.startswith("It is past its expected end.")
    assert entry.after["reasons"][-1] == "Its expected end, 2020-01-01, has passed."
    fan_out()
    told = Notification.objects.filter(position=entry.position)
    assert {(row.user, row.why) for row in told} == {(ann, "mine")}
    row = DebtDay.objects.get()
    assert (row.new, row.overdue, row.live) == (2, 1, 0)

    later = timezone.now() + timedelta(days=7)
    assert debt.look_after(actor=system("flag debt"), project=environment.project, now=later) == 1


def test_console__owner_kind_end_and_links__are_saved_and_taken_away(acme, console_editor):
    config, _ = services.create_flag(actor=ALICE, environment=acme.staging, payload={"key": "new-checkout"})
    link = {"title": "", "url": "https://example.com/plan"}
    about = {"owner": "eddie", "team": "till", "kind": "ops", "permanent": False, "expectedEnd": "2031-02-03"}

    console_editor.post(change_url(config), fields(console_editor, config, **about, links=[link]))
    config.flag.refresh_from_db()
    assert (config.flag.owner, config.flag.team, config.flag.kind) == ("eddie", "till", "ops")
    assert (config.flag.is_permanent, str(config.flag.expected_end), config.flag.links) == (False, "2031-02-03", [link])
    page = console_editor.get(change_url(config)).text
    assert 'value="2031-02-03" data-field="expectedEnd"' in page
    assert (
        "https://example.com/plan"
        in console_editor.get(reverse("admin:flags_flagconfig_lifecycle", args=[config.pk])).text
    )

    console_editor.post(change_url(config), fields(console_editor, config, **dict.fromkeys(about), links=[]))
    config.flag.refresh_from_db()
    assert (config.flag.owner, config.flag.is_permanent, config.flag.expected_end, config.flag.links) == (
        "", None, None, [],
    )  # fmt: skip
    refused = console_editor.post(change_url(config), fields(console_editor, config, owner="nobody"))
    assert refused.status_code == 422
    assert "has a role in this project" in refused.text
