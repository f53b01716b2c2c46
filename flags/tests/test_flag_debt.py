"""The page of flag debt over a year of simulated history: it names the right flags, and none that lives."""

import random
import re
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db import OperationalError, connection
from django.db.migrations.recorder import MigrationRecorder
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from analytics.models import FlagUsage, UsageSource
from flags import services
from flags.admin.list import bulk
from flags.lifecycle import evidence, overview
from flags.lifecycle.stages import Evidence, InEnvironment, Stage, Thresholds, stage_of
from flags.models import DebtDay, Flag, FlagConfig, ScannedBranch
from tenancy import services as tenancy_services
from tenancy.models import User
from tenancy.testing import ALICE

LIMITS = Thresholds(new_days=14, unchanged_days=30, unused_days=45)
LAST = 364


@dataclass(frozen=True)
class Life:
    """A flag's year, in days. `asked` are those on which somebody asks for it: within the year, and later ones."""

    key: str
    kind: str
    made: int
    changed: tuple[int, ...]
    asked: tuple[int, ...]
    served: str | None
    is_enabled: bool = True

    def changed_by(self, day):
        return max(each for each in (self.made, *self.changed) if each <= day)

    def asked_by(self, day):
        place = bisect_right(self.asked, day)
        return self.asked[place - 1] if place else None

    def is_needed_after(self, day):
        return bool(self.asked) and self.asked[-1] > day


def lives():
    """What became of each flag is known: whether code asks for it again, and whether it decides anything."""
    chance = random.Random(19)  # The same year each time.
    for number in range(16):
        made = chance.randrange(250)
        released = made + chance.randrange(5, 20)
        # Every other one has been taken out of code; the rest is asked for to this day.
        removed = released + chance.randrange(1, 90) if number % 2 else 500
        asked = tuple(range(made + 1, removed, chance.randrange(1, 4)))
        yield Life(f"release-{number}", "release", made, (made + 2, released), asked, "on")
    for number in range(8):
        made, ended = chance.randrange(200), chance.randrange(40, 100)
        yield Life(f"experiment-{number}", "experiment", made, (), tuple(range(made + 1, made + ended)), None)
    for number in range(8):
        made = chance.randrange(100)
        yield Life(f"monthly-job-{number}", "release", made, (), tuple(range(made, 800, 31)), None)
        yield Life(f"kill-switch-{number}", "kill_switch", made, (), tuple(range(made, 800, 2)), "on")
        yield Life(f"quarterly-{number}", "ops", made, (), tuple(range(made, 800, 91)), "on")
        yield Life(f"given-up-{number}", "", chance.randrange(300), (), (), "off", is_enabled=False)
        yield Life(f"just-made-{number}", "", LAST - number, (), tuple(range(400, 800)), "off", is_enabled=False)


def evidence_on(life, day, now):
    def moment(number):
        return now - timedelta(days=day - number)

    asked = life.asked_by(day)
    return Evidence(
        created_at=moment(life.made),
        changed_at=moment(life.changed_by(day)),
        places=(InEnvironment("Production", is_production=True, is_enabled=life.is_enabled, served=life.served),),
        kind=life.kind,
        is_lasting=life.kind in {"kill_switch", "ops"},
        asked_at=None if asked is None else moment(asked),
        counted_since=moment(-100),
        references=0,
    )


@pytest.fixture
def year(acme):
    """Write the year's end into the database, and each day's figures. Return the lives."""
    now, found = timezone.now(), list(lives())
    counting = MigrationRecorder.Migration.objects.filter(app="analytics", name="0024_flag_usage")
    counting.update(applied=now - timedelta(days=465))
    variants = [{"key": "off", "value": False}, {"key": "on", "value": True}]
    flags = [
        Flag(project=acme.project, key=life.key, name=life.key, kind=life.kind, variants=variants) for life in found
    ]
    Flag.objects.bulk_create(flags)
    configs = []
    for flag, life in zip(flags, found, strict=True):
        split = {"on": [[0, 10_000, "on"]], "off": [], None: [[0, 5_000, "on"]]}[life.served]
        for environment in (acme.production, acme.staging):
            fixed = {"default_variant": "off", "off_variant": "off", "salt": life.key, "is_enabled": life.is_enabled}
            configs.append(FlagConfig(flag=flag, environment=environment, allocation=split, **fixed))
    FlagConfig.objects.bulk_create(configs)
    by_key = {life.key: life for life in found}
    for row, key in [*((flag, flag.key) for flag in flags), *((config, config.flag.key) for config in configs)]:
        row.created_at = now - timedelta(days=LAST - by_key[key].made)
        row.updated_at = now - timedelta(days=LAST - by_key[key].changed_by(LAST))
    Flag.objects.bulk_update(flags, ["created_at", "updated_at"])
    FlagConfig.objects.bulk_update(configs, ["created_at", "updated_at"])
    ScannedBranch.objects.create(project=acme.project, repository="acme/till", branch="main", scanned_at=now)
    source = UsageSource.objects.create(environment_id=acme.production.pk, kind="sdk", service="till", sdk="")
    used = {"environment_id": acme.production.pk, "source": source, "variant": "", "reason": "STATIC"}
    FlagUsage.objects.bulk_create(
        FlagUsage(**used, flag_key=life.key, last_at=now - timedelta(days=LAST - life.asked_by(LAST)))
        for life in found
        if life.asked_by(LAST) is not None
    )
    for day in range(0, LAST, 7):
        stages = Counter(stage_of(evidence_on(life, day, now), LIMITS, now).stage for life in found if life.made <= day)
        figures = {"ready_to_archive": stages[Stage.READY], "complete": stages[Stage.COMPLETE]}
        DebtDay.objects.create(project=acme.project, day=now.date() - timedelta(days=LAST - day), **figures)
    return found


def debt_page(client, environment):
    return client.get(reverse("admin:flags_flagconfig_debt"), {"environment": environment.pk})


def named_in(page, section):
    """The keys of the flags in one of the page's tables."""
    found = re.search(rf'aria-labelledby="debt-{section}"(.*?)</section>', page.text, re.DOTALL)
    return set(re.findall(r'aria-label="Choose ([^"]+)"', found[1])) if found else set()


def test_every_day_of_a_year__no_flag_that_is_asked_for_again__is_called_ready():
    now, wrong, late = timezone.now(), [], []
    for life in lives():
        for day in range(life.made, LAST + 1):
            is_ready = stage_of(evidence_on(life, day, now), LIMITS, now).stage is Stage.READY
            if is_ready and life.is_needed_after(day):
                wrong.append((life.key, day))
            waited = day - max(life.made, life.asked_by(day) or 0, life.changed_by(day))
            if not is_ready and not life.is_needed_after(day) and waited > LIMITS.unused_days:
                late.append((life.key, day))
    assert wrong == []
    assert late == []


def test_page__after_a_year__names_the_right_flags_and_none_that_lives(year, acme, console_editor, token):
    ready = {
        life.key
        for life in year
        if not life.is_needed_after(LAST)
        and LAST - max(life.made, life.asked_by(LAST) or 0, life.changed_by(LAST)) > LIMITS.unused_days
    }
    released = {life.key for life in year if life.kind == "release" and life.served == "on"}
    assert len(ready) > 15

    page = debt_page(console_editor, acme.production)

    assert named_in(page, "ready") == ready
    assert named_in(page, "complete") == released - ready
    assert "Nobody has changed it for" in page.text
    assert "Flags that wait, by day" in page.text
    assert "ago, by till in Production." in page.text
    # The API says the same.
    caller = token(User.objects.get(username="eddie"), acme.organization)
    asked = {"environment": "production", "stage": "ready_to_archive", "pageSize": "200"}
    listed = caller.get("flags", **asked).json()["results"]
    assert {flag["key"] for flag in listed} == ready
    assert {flag["lifecycle"]["stage"] for flag in listed} == {"ready_to_archive"}


def test_bulk_archive__from_the_page__is_undone_by_one_link(year, acme, console_editor, monkeypatch):
    # On a busy machine too all of it is one slice.
    monkeypatch.setattr(bulk, "SLICE_SECONDS", 600)
    chosen = sorted(named_in(debt_page(console_editor, acme.production), "ready"))[:2]
    pks = list(
        FlagConfig.objects.filter(environment=acme.production, flag__key__in=chosen).values_list("pk", flat=True)
    )
    listed = f"{reverse('admin:flags_flagconfig_changelist')}?environment={acme.production.pk}"
    form = {"action": "archive_selected", "index": "0", "environment": acme.production.pk}

    assert "Archive 2 flags?" in console_editor.post(listed, {**form, ACTION_CHECKBOX_NAME: pks}).text
    sent = {"flags": ",".join(map(str, pks)), "environment": acme.production.pk, "reason": "Nobody asks for them"}
    done = console_editor.post(reverse("admin:flags_flagconfig_archive_many"), sent, follow=True)
    archived = Flag.objects.filter(key__in=chosen, is_archived=True)
    assert archived.count() == 2
    assert "2 flags archived." in done.text
    undo = re.search(r'<a href="([^"]*restore-many[^"]*)">Undo', done.text)[1]

    assert "Restore 2 flags?" in console_editor.get(undo).text
    assert archived.count() == 2
    console_editor.post(reverse("admin:flags_flagconfig_restore_many"), sent)
    assert archived.count() == 0


def named_in_list(answer):
    return [row.flag.key for row in answer.context["cl"].result_list]


def test_page__without_debt__says_so_and_offers_a_viewer_no_act(acme, console_viewer):
    assert "No flags here yet" in debt_page(console_viewer, acme.production).text
    content = {"key": "new-checkout", "expectedEnd": "2020-01-01"}
    services.create_flag(actor=ALICE, environment=acme.production, payload=content)

    page = debt_page(console_viewer, acme.production)

    assert "Its expected end, 2020-01-01, has passed." in page.text
    assert "Archive those chosen" not in page.text
    assert "The trend begins with the second day" in page.text
    unknown = console_viewer.get(reverse("admin:flags_flagconfig_unknown"), {"environment": acme.production.pk})
    for shown in (page, unknown):
        assert "No environment yet" not in shown.text
        assert f'href="?environment={acme.staging.pk}"' in shown.text


def test_console__store_of_events_away__shows_pages_without_stages(acme, console_editor, monkeypatch):
    content = {"key": "new-checkout"}
    config, _ = services.create_flag(actor=ALICE, environment=acme.production, payload=content)

    def away(*_):
        raise OperationalError("ClickHouse: away")

    monkeypatch.setattr(evidence.analytics, "last_exposures", away)
    listed = reverse("admin:flags_flagconfig_changelist")

    assert "cannot be reached" in debt_page(console_editor, acme.production).text
    assert "cannot be reached" in console_editor.get(reverse("admin:flags_flagconfig_lifecycle", args=[config.pk])).text
    assert "cannot be reached" in console_editor.get(f"{listed}?environment={acme.production.pk}&stage=live").text


def test_console__very_many_flags__stages_are_remembered_until_a_flag_changes(acme, console_editor, monkeypatch):
    monkeypatch.setattr(overview, "_MANY", 1)
    services.create_flag(actor=ALICE, environment=acme.production, payload={"key": "one"})
    assert "kept for ten minutes" in debt_page(console_editor, acme.production).text
    monkeypatch.setattr(overview, "lifecycles", None)
    listed = f"{reverse('admin:flags_flagconfig_changelist')}?environment={acme.production.pk}"

    assert named_in_list(console_editor.get(f"{listed}&stage=new")) == ["one"]
    assert named_in_list(console_editor.get(f"{listed}&stage=live")) == []
    monkeypatch.undo()
    monkeypatch.setattr(overview, "_MANY", 1)
    services.create_flag(actor=ALICE, environment=acme.production, payload={"key": "two"})
    assert named_in_list(console_editor.get(f"{listed}&stage=new")) == ["one", "two"]


def test_list__more_environments__asks_the_database_no_more_often(acme, console_editor, django_assert_num_queries):
    services.create_flag(actor=ALICE, environment=acme.production, payload={"key": "one"})
    listed = f"{reverse('admin:flags_flagconfig_changelist')}?environment={acme.production.pk}"
    console_editor.get(listed)
    with CaptureQueriesContext(connection) as few:
        console_editor.get(listed)
    for number in range(4):
        tenancy_services.create_environment(actor=ALICE, project=acme.project, key=f"e-{number}", name=f"E {number}")

    with django_assert_num_queries(len(few)):
        console_editor.get(listed)
