"""Two writers at once: one wins, the other hears of it, and the version log has no gap and no fork."""

import threading
from functools import partial

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from audit.models import Entry
from flags import services
from flags.models import Change, FlagConfig
from flags.services import version_log
from tenancy.errors import Conflict
from tenancy.models import Environment
from tenancy.testing import ALICE


def _at_once(*acts):
    """Run each act in a thread of its own, all let go together; return what each returned or raised."""
    barrier = threading.Barrier(len(acts))
    outcomes = [None] * len(acts)

    def run(index, act):
        try:
            barrier.wait(60)
            outcomes[index] = act()
        except Conflict as error:
            outcomes[index] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(index, act)) for index, act in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return outcomes


@pytest.mark.django_db(transaction=True)
def test_update_flag__two_writers_with_one_version__one_wins_and_the_other_hears_of_it(environment, make_flag):
    make_flag("a")

    def write(enabled):
        return lambda: services.update_flag(
            actor=ALICE, environment=environment, key="a", payload={"description": str(enabled)}, version=1
        )

    outcomes = _at_once(write("one"), write("two"))

    lost = [outcome for outcome in outcomes if isinstance(outcome, Conflict)]
    assert len(lost) == 1
    assert lost[0].problems[0].code == "version_conflict"
    winner = FlagConfig.objects.get()
    assert lost[0].extra["current"]["description"] == winner.flag.description
    assert winner.version == 2
    assert Entry.objects.filter(action="flag.updated").count() == 1


@pytest.mark.django_db(transaction=True)
def test_create_flag__two_writers_with_one_key__one_creates_and_the_other_gets_it(environment):
    def create():
        return services.create_flag(actor=ALICE, environment=environment, payload={"key": "a"})

    outcomes = _at_once(create, create)

    assert sorted(is_new for _, is_new in outcomes) == [False, True]
    assert FlagConfig.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_writes__eight_writers_of_everything__both_logs_hold_until_a_row_is_altered(
    environment, staging, make_flag, capsys
):
    for number in range(4):
        make_flag(f"f{number}")
    mixed = partial(_write_everything, environment, staging)

    outcomes = _at_once(*(partial(mixed, writer) for writer in range(8)))

    assert outcomes == ["done"] * 8
    for row in Environment.objects.all():
        versions = list(Change.objects.filter(environment=row).order_by("version").values_list("version", flat=True))
        assert versions == list(range(1, row.config_version + 1))
    call_command("verify_audit")
    assert f"{Entry.objects.count()} rows hold" in capsys.readouterr().out
    victim = Entry.objects.order_by("position")[Entry.objects.count() // 2]
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute("UPDATE audit_entry SET actor_label = 'somebody else' WHERE id = %s", [victim.pk])
        cursor.execute("SET session_replication_role = origin")
    with pytest.raises(CommandError):
        call_command("verify_audit")
    assert f"row {victim.pk} (position {victim.position}) is broken" in capsys.readouterr().err


@pytest.mark.django_db
def test_append__row_in_hand_is_behind_or_ahead__log_has_no_gap_and_no_fork(environment):
    def append(row, key):
        version_log.append(environment=row, actor=ALICE, kind=Change.Kind.FLAG_UPDATED, key=key, document=None)

    with transaction.atomic():
        one, two = (version_log.lock_environment(environment) for _ in range(2))
        append(one, "a")
        with transaction.atomic():
            append(one, "taken back")
            transaction.set_rollback(True)
        append(one, "after a savepoint")
        append(two, "by another row")
        append(one, "last")

    environment.refresh_from_db()
    steps = Change.objects.filter(environment=environment).order_by("version").values_list("version", "key")
    assert list(steps) == [(1, "a"), (2, "after a savepoint"), (3, "by another row"), (4, "last")]
    assert (environment.config_version, one.config_version) == (4, 4)


def _write_everything(environment, staging, writer):
    own, shared = f"w{writer}", f"f{writer % 4}"
    given = {"actor": ALICE, "environment": environment if writer % 2 else staging}
    services.create_flag(**given, payload={"key": own})
    for turn in range(3):
        services.update_flag(**given, key=shared, payload={"description": f"{writer}/{turn}"}, version=None)
        services.kill_flag(**given, key=shared)
        services.create_segment(**given, payload={"key": f"{own}-{turn}", "included": ["u"]})
        services.release_flag(**given, key=shared)
    services.rollback_flag(**given, key=own, version=1)
    services.delete_segment(**given, key=f"{own}-0")
    services.archive_flag(**given, key=own)
    return "done"
