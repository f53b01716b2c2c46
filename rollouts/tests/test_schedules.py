"""Scheduled changes: published on what is there, or held; never over what somebody changed."""

import os
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flags.models import FlagConfig
from flags.selectors import get_config
from flags.services import update_flag
from rollouts import services
from rollouts.executor import schedules
from rollouts.models import ScheduledChange
from rollouts.tests.conftest import KEY, events
from tenancy.callers.principals import principal_of_user
from tenancy.errors import Invalid
from tenancy.models import Environment, Membership, User
from tenancy.testing import ALICE

# Before a release: ROLLOUT_EDITS=500.
EDITS = int(os.environ.get("ROLLOUT_EDITS", "6"))
DUE = datetime(2099, 6, 1, 8, tzinfo=UTC)
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("flag")]


@pytest.fixture
def author(environment: Environment, person: Callable[..., User]) -> User:
    return person("editor", environment.project.organization)


@pytest.fixture
def schedule(environment: Environment, author: User) -> Callable[..., ScheduledChange]:
    def _schedule(patch: dict[str, Any], **payload: Any) -> ScheduledChange:
        body = {
            "resource": {"type": "flag", "key": KEY},
            "patch": patch,
            "baseVersion": get_config(environment, KEY).version,
            **({} if "cron" in payload else {"at": DUE}),
            **payload,
        }
        return services.schedule_change(principal=principal_of_user(author), environment=environment, payload=body)

    return _schedule


def _edit(environment: Environment, **payload: Any) -> FlagConfig:
    return update_flag(actor=ALICE, environment=environment, key=KEY, payload=payload, version=None)


def test_due__other_fields_changed__is_published_on_them(schedule: Any, environment: Environment) -> None:
    change = schedule({"enabled": False})
    _edit(environment, description="new")
    assert schedules.run(DUE - timedelta(seconds=1)) == 0
    assert schedules.run(DUE) == 1
    config = get_config(environment, KEY)
    assert (config.is_enabled, config.flag.description) == (False, "new")
    (row,) = [row for row in events("flag.updated") if row.actor_kind == "schedule"]
    assert row.actor_label == "schedule, for editor-of-acme"
    change.refresh_from_db()
    assert change.state == "published"
    assert schedules.run(DUE + timedelta(days=1)) == 0


def test_due__author_lost_the_role__is_held(schedule: Any, environment: Environment, author: User) -> None:
    change = schedule({"enabled": False})
    Membership.objects.filter(user=author).delete()
    schedules.run(DUE)
    change.refresh_from_db()
    assert (change.state, get_config(environment, KEY).is_enabled) == ("held", True)
    assert "role" in change.reason
    assert [row.reason for row in events("scheduled_change.held")] == [change.reason]


def test_update__of_its_time__keeps_the_base__and_of_a_held_one_names_it(
    schedule: Any, environment: Environment, author: User
) -> None:
    change, principal = schedule({"offVariant": "treatment"}), principal_of_user(author)
    _edit(environment, enabled=False)
    _edit(environment, offVariant="treatment", defaultVariant="treatment")
    _edit(environment, offVariant="control", description="looked at")
    change.patch = {"offVariant": "treatment", "defaultVariant": "control"}
    change.base = {"offVariant": "control", "defaultVariant": "control"}
    change.save()
    later: dict[str, Any] = {"at": DUE + timedelta(hours=1)}
    moved = services.update_scheduled(principal=principal, change=change, payload=later, version=1)
    assert (moved.base_version, moved.base["defaultVariant"]) == (1, "control")
    schedules.run(DUE + timedelta(hours=1))
    moved.refresh_from_db()
    assert (moved.state, get_config(environment, KEY).default_variant) == ("held", "treatment")
    with pytest.raises(Invalid) as refused:
        services.update_scheduled(principal=principal, change=moved, payload=later, version=moved.version)
    assert refused.value.problems[0].attr == "baseVersion"
    later["baseVersion"] = get_config(environment, KEY).version
    services.update_scheduled(principal=principal, change=moved, payload=later, version=moved.version)
    schedules.run(DUE + timedelta(hours=1))
    assert get_config(environment, KEY).default_variant == "control"


def test_due__random_edits__never_overwrites(schedule: Any, environment: Environment) -> None:
    """Whatever others set, and however late it is: a field of the patch is theirs, or what the patch says of theirs."""
    dice = random.Random(21)
    values: dict[str, list[Any]] = {
        "enabled": [True, False],
        "defaultVariant": ["control", "treatment"],
        "offVariant": ["control", "treatment"],
    }
    for _ in range(EDITS):
        read = {"enabled": True, "defaultVariant": "control", "offVariant": "control"}
        _edit(environment, **read)
        patch = {name: dice.choice(values[name]) for name in dice.sample(sorted(values), dice.randint(1, 3))}
        change = schedule(patch)
        others = {name: dice.choice(values[name]) for name in dice.sample(sorted(values), dice.randint(0, 2))}
        if others:
            _edit(environment, **others)
        schedules.run(DUE)
        change.refresh_from_db()
        there = {**read, **others}
        touched = [name for name in patch if there[name] != read[name]]
        is_there = all(there[name] == value for name, value in patch.items())
        wanted = there if touched and not is_there else {**there, **patch}
        config = get_config(environment, KEY)
        found = {
            "enabled": config.is_enabled,
            "defaultVariant": config.default_variant,
            "offVariant": config.off_variant,
        }
        assert found == wanted, (patch, others)
        assert change.state == ("held" if touched and not is_there else "published")


def test_recurring__on_and_off__follow_each_other_and_an_outage(schedule: Any, environment: Environment) -> None:
    on = schedule({"enabled": True}, cron="0 8 * * *", zone="Europe/Berlin")
    off = schedule({"enabled": False}, cron="0 20 * * *", zone="Europe/Berlin")
    states = []
    for _ in range(4):
        on.refresh_from_db()
        off.refresh_from_db()
        schedules.run(min(on.due_at, off.due_at))
        states.append(get_config(environment, KEY).is_enabled)
    assert states in ([True, False, True, False], [False, True, False, True])
    on.refresh_from_db()
    # Days later, at nine in the morning in Berlin: it has been on for an hour.
    schedules.run(on.due_at + timedelta(days=9, hours=1))
    on.refresh_from_db()
    assert (get_config(environment, KEY).is_enabled, on.state) == (True, "waiting")
    # A person who switches it off is not overruled.
    _edit(environment, enabled=False)
    schedules.run(on.due_at)
    on.refresh_from_db()
    assert (get_config(environment, KEY).is_enabled, on.state) == (False, "held")


def test_switch__of_the_organization__stops_all_of_it(schedule: Any, environment: Environment, settings: Any) -> None:
    schedule({"enabled": False})
    organization = environment.project.organization
    services.stop_automatic(actor=ALICE, organization=organization, reason="quiet")
    assert schedules.run(DUE) == 0
    services.resume_automatic(actor=ALICE, organization=organization)
    settings.ROLLOUTS_ENABLED = False
    assert schedules.run(DUE) == 0
    settings.ROLLOUTS_ENABLED = True
    assert schedules.run(DUE) == 1
