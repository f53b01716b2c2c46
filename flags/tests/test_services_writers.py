"""Two writers at once: one wins, the other hears of it, and the version log has no gap and no fork."""

import threading

import pytest
from django.db import connection

import audit.services
from audit.models import Entry
from flags import services
from flags.models import Change, FlagConfig
from tenancy.errors import Conflict
from tenancy.models import Environment
from tenancy.testing import ALICE


def _at_once(*acts):
    """Run each act in a thread of its own, all let go together; return what each returned or raised."""
    barrier = threading.Barrier(len(acts))
    outcomes = [None] * len(acts)

    def run(index, act):
        try:
            barrier.wait(10)
            outcomes[index] = act()
        except Conflict as error:
            outcomes[index] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(index, act)) for index, act in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
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
def test_writes__many_writers_on_many_flags__log_counts_without_gap_and_the_audit_chain_holds(
    environment, staging, make_flag
):
    for number in range(4):
        make_flag(f"f{number}")

    def write(number):
        def act():
            for turn in range(5):
                services.update_flag(
                    actor=ALICE,
                    environment=environment if number % 2 else staging,
                    key=f"f{number}",
                    payload={"description": f"turn {turn}"},
                    version=None,
                )
                services.kill_flag(actor=ALICE, environment=environment, key=f"f{number}")
                services.release_flag(actor=ALICE, environment=environment, key=f"f{number}")

        return act

    _at_once(*(write(number) for number in range(4)))

    for row in Environment.objects.all():
        versions = list(Change.objects.filter(environment=row).order_by("version").values_list("version", flat=True))
        assert versions == list(range(1, row.config_version + 1))
    assert audit.services.verify(environment.project.organization_id) is None
