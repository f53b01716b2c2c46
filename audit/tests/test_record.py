"""The log: what a row says, that it commits with its change, that it cannot be rewritten, and that tampering shows."""

import threading
from dataclasses import dataclass

import pytest
from django.db import InternalError, ProgrammingError, connection, transaction

import audit.services
from audit.actions import PayloadError, UnregisteredActionError
from audit.actors import Actor
from audit.chain import verify
from audit.models import Entry
from audit.places import Place

ALICE = Actor(kind="user", id="7", label="alice", credential="fs_manage_abcdefgh", request_id="r-1")


@dataclass(frozen=True)
class Somewhere:
    """A thing of an app above that is a place."""

    audit_place: Place


def _record(**given):
    values = {
        "actor": ALICE,
        "action": "flag.updated",
        "at": Somewhere(Place(1)),
        "key": "new-checkout",
        **given,
    }
    with transaction.atomic():
        return audit.services.record(**values)


@pytest.mark.django_db
def test_record__works():
    entry = _record(before={"enabled": False, "rollout": [1]}, after={"enabled": True, "rollout": [1]}, reason="launch")

    stored = Entry.objects.get(pk=entry.pk)
    assert (stored.actor_label, stored.credential, stored.request_id) == ("alice", "fs_manage_abcdefgh", "r-1")
    assert stored.changes == [{"path": "enabled", "before": False, "after": True}]
    assert stored.position == 1
    assert not verify(1).broken


@pytest.mark.django_db
def test_record__at_an_environment__says_where_and_of_what_kind():
    entry = _record(action="events.policy_changed", at=Somewhere(Place(1, "web", "production")), key="production")

    assert (entry.organization_id, entry.project, entry.environment) == (1, "web", "production")
    assert (entry.entity_type, entry.entity_key) == ("environment", "production")


@pytest.mark.django_db
def test_record__unregistered_action__is_refused():
    with pytest.raises(UnregisteredActionError, match=r"flag\.exploded"):
        _record(action="flag.exploded")

    assert not Entry.objects.exists()


@pytest.mark.django_db
def test_record__field_that_the_payload_lacks__is_refused():
    with pytest.raises(PayloadError, match="password"):
        _record(action="member.added", after={"user": "alice", "role": "owner", "password": "secret"})


@pytest.mark.django_db(transaction=True)
def test_record__outside_a_transaction__is_refused():
    with pytest.raises(RuntimeError, match="inside the transaction"):
        audit.services.record(actor=ALICE, action="flag.updated", at=Somewhere(Place(1)), key="k")


@pytest.mark.django_db(transaction=True)
def test_record__rolled_back__leaves_no_row_and_no_gap():
    _record()
    with transaction.atomic():
        audit.services.record(actor=ALICE, action="flag.updated", at=Somewhere(Place(1)), key="k")
        transaction.set_rollback(True)
    _record()

    assert list(Entry.objects.order_by("position").values_list("position", flat=True)) == [1, 2]
    assert not verify(1).broken


@pytest.mark.django_db
def test_record__two_organizations__chain_apart():
    _record(at=Somewhere(Place(1)))
    _record(at=Somewhere(Place(2)))
    _record(at=None)

    assert set(Entry.objects.values_list("organization_id", "position")) == {(1, 1), (2, 1), (None, 1)}


@pytest.mark.django_db
@pytest.mark.parametrize(
    "statement",
    ["UPDATE audit_entry SET reason = 'never happened'", "DELETE FROM audit_entry", "TRUNCATE audit_entry"],
)
def test_entry__rewritten_by_sql__is_refused(statement):
    _record()
    with pytest.raises((InternalError, ProgrammingError), match="append-only"), transaction.atomic():
        connection.cursor().execute(statement)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("UPDATE audit_entry SET after = '{\"enabled\": false}' WHERE position = 2", ["its content was altered"]),
        ("DELETE FROM audit_entry WHERE position = 2", ["position 2 is missing"]),
        (
            "UPDATE audit_entry SET previous_hash = 'f00' WHERE position = 2",
            ["does not follow the row before it", "its content was altered"],
        ),
    ],
)
def test_verify__row_altered_with_the_trigger_off__names_each_broken_row(statement, why):
    for _ in range(3):
        _record(after={"enabled": True, "ratio": 1e16, "small": 1e-7})
    assert not verify(1).broken
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(statement)
        cursor.execute("SET LOCAL session_replication_role = origin")

    assert [broken.why for broken in verify(1).broken] == why


@pytest.mark.django_db(transaction=True)
def test_record__eight_writers_at_once__chain_holds():
    def write():
        for _ in range(5):
            _record(after={"n": 1})
        connection.close()

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert Entry.objects.count() == 40
    assert not verify(1).broken
