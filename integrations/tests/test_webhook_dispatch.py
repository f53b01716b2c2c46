"""The worker: every event at least once and in order, whatever receivers answer, and though workers die meanwhile."""

import random
import subprocess
import sys
import threading
import time

import pytest
from django.conf import settings as project_settings
from django.db import connection, transaction
from django.utils import timezone
from django_redis import get_redis_connection

import audit.services
from audit.models import Entry
from integrations import services
from integrations.models import WebhookCursor, WebhookDelivery
from integrations.outside import calls
from integrations.signals import work_waiting
from integrations.tasks import look_for_webhooks
from integrations.webhooks import delivery, dispatch
from tenancy.services import create_organization, delete_organization
from tenancy.testing import ALICE

pytestmark = pytest.mark.django_db(transaction=True)
EVENTS = 25
CHANGES = 100


@pytest.fixture
def quick(monkeypatch):
    """Pauses and patience of milliseconds instead of minutes."""
    monkeypatch.setattr(delivery, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(delivery, "LONGEST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(calls, "SECONDS", 0.25)


def _write(organization, numbers):
    with transaction.atomic():
        acts = [audit.services.Act("organization.updated", f"event-{number}") for number in numbers]
        audit.services.record_each(actor=ALICE, at=organization, acts=acts)


def _told(received):
    """Keys of the events in the order of their first arrival."""
    return [key for key in dict.fromkeys(one.event["data"]["key"] for one in received) if key.startswith("event")]


def _kill_whoever_delivers(spared):
    """Cut the connections on which deliveries' transactions are open: what they did is undone, as if they had died."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                " AND state = 'idle in transaction' AND pid NOT IN (pg_backend_pid(), %s)",
                [spared],
            )
    finally:
        connection.close()


def test_run__receivers_that_do_anything_and_workers_that_die__each_event_comes_in_order(
    organization, make_webhook, receiver, quick
):
    chance = random.Random(18)
    connection.ensure_connection()
    dispatcher = connection.connection.info.backend_pid
    ways = [*["ok"] * 20, "500", "redirect", "garbage", "close", "hang", "die"]

    def behave(_number, path):
        if path == "/good":
            return "ok"
        if path == "/dead":
            return "hang"
        way = chance.choice(ways)
        if way == "die":
            _kill_whoever_delivers(dispatcher)
            return "ok"
        return way

    receiver.behave = behave
    hooks = {path: make_webhook(path, events=["organization.*"]) for path in ("/wild", "/good", "/dead")}
    _write(organization, range(CHANGES))
    until, head = time.monotonic() + 240, Entry.objects.count()
    while WebhookCursor.objects.get(pk=hooks["/wild"].endpoint.pk).position < head and time.monotonic() < until:
        dispatch.run(1)
        WebhookCursor.objects.filter(endpoint=hooks["/dead"].endpoint).update(due_at=None)

    wanted = [f"event-{number}" for number in range(CHANGES)]
    wild = [one for one in receiver.received if one.path == "/wild"]
    assert _told(receiver.taken("/wild")) == wanted
    # What was tried again is the event that stood first, under its own id and with its own bytes.
    assert _told(wild) == wanted
    assert len({one.id for one in wild}) == len({(one.id, one.body) for one in wild})
    for one in wild:
        one.verify(hooks["/wild"].secret)
    assert _told(receiver.taken("/good")) == wanted
    assert receiver.taken("/dead") == []
    assert {"failed", "delivered"} == set(WebhookDelivery.objects.values_list("state", flat=True))


def test_run__one_endpoint_that_hangs__delays_no_other(organization, make_webhook, receiver):
    receiver.behave = lambda _number, path: "hang" if path == "/dead" else "ok"
    make_webhook("/dead")
    make_webhook("/good", events=["organization.*"])
    _write(organization, [1])
    worker = threading.Thread(target=_work)
    worker.start()
    _wait_for(lambda: len(receiver.received) >= 2)
    # The dead one holds its call for five seconds; meanwhile more is written, and told by the same worker.
    _write(organization, [2])
    _wait_for(lambda: len(receiver.taken("/good")) == 2)
    still_hangs = [one.path for one in receiver.received].count("/dead") == 1 and worker.is_alive()
    receiver.released.set()
    worker.join(60)

    assert still_hangs
    assert not worker.is_alive()


def test_run__two_workers_at_once__deliver_each_event_once(organization, make_webhook, receiver):
    make_webhook(events=["organization.*"])
    _write(organization, range(20))

    workers = [threading.Thread(target=_work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)

    assert [one.event["data"]["key"] for one in receiver.received] == [f"event-{number}" for number in range(20)]


def test_run__a_transaction_that_commits_late__is_not_passed_over(organization, make_webhook, receiver):
    """Positions of a chain become visible in order: the second writer waits for the first one's commit."""
    make_webhook(events=["organization.*"])
    wrote, go_on = threading.Event(), threading.Event()

    def late():
        with transaction.atomic():
            audit.services.record(actor=ALICE, action="organization.updated", at=organization, key="event-1")
            wrote.set()
            go_on.wait(30)
        connection.close()

    def second():
        _write(organization, [2])
        connection.close()

    writers = [threading.Thread(target=late), threading.Thread(target=second)]
    writers[0].start()
    wrote.wait(30)
    writers[1].start()
    dispatch.run(2)
    assert receiver.received == []
    go_on.set()
    for writer in writers:
        writer.join(30)
    dispatch.run()

    assert _told(receiver.received) == ["event-1", "event-2"]


def test_wake__many_commits__call_one_worker_and_the_next_commit_after_its_last_look_another(organization, webhook):
    called = []
    work_waiting.connect(lambda **_: called.append(1), weak=False, dispatch_uid="this test")
    get_redis_connection("default").delete(f"{project_settings.REDIS_PREFIX}:webhooks-awake")
    for number in range(5):
        _write(organization, [number])
    assert len(called) == 1
    WebhookCursor.objects.update(position=Entry.objects.count())
    dispatch.run()
    _write(organization, [9])
    work_waiting.disconnect(dispatch_uid="this test")

    assert len(called) == 2


def test_wake_if_due__calls_one_worker__and_none_where_nothing_is_due(organization, webhook):
    called = []
    work_waiting.connect(lambda **_: called.append(1), weak=False, dispatch_uid="this test")
    _write(organization, [1])
    for position, calls_wanted in ((Entry.objects.count(), 0), (0, 1)):
        get_redis_connection("default").delete(f"{project_settings.REDIS_PREFIX}:webhooks-awake")
        called.clear()
        WebhookCursor.objects.update(position=position)
        for _ in range(3):
            look_for_webhooks()
        assert len(called) == calls_wanted
    work_waiting.disconnect(dispatch_uid="this test")


def test_run__more_backlogs_than_threads__each_gets_its_turn(organization, make_webhook, receiver, monkeypatch):
    monkeypatch.setattr(dispatch, "THREADS", 1)
    monkeypatch.setattr(dispatch, "_VISIT_SECONDS", 0)
    for path in ("/first", "/second"):
        make_webhook(path, events=["organization.*"])
    _write(organization, range(EVENTS))
    dispatch.run(60)

    paths = [one.path for one in receiver.received]
    assert [paths.count(path) for path in ("/first", "/second")] == [EVENTS, EVENTS]
    assert set(paths[:EVENTS]) == {"/first", "/second"}


def test_run__many_endpoints_that_failed__leave_threads_to_the_others(
    organization, make_webhook, receiver, monkeypatch
):
    monkeypatch.setattr(dispatch, "THREADS", 4)
    receiver.behave = lambda _number, path: "ok" if path == "/good" else "hang"
    dead = [make_webhook(f"/dead-{number}", events=["organization.*"]).endpoint for number in range(4)]
    WebhookCursor.objects.filter(endpoint__in=dead).update(failing_since=timezone.now())
    make_webhook("/good", events=["organization.*"])
    _write(organization, [1])
    worker = threading.Thread(target=_work)
    worker.start()
    _wait_for(lambda: receiver.taken("/good"))
    tried = {one.path for one in receiver.received} - {"/good"}
    receiver.released.set()
    worker.join(60)

    assert len(tried) <= 1


def test_organization__deleted_in_the_midst_of_a_delivery__is_gone_once_it_ended(db, receiver):
    # Nothing is in it, or it could not be deleted.
    organization = create_organization(actor=ALICE, slug="empty", name="Empty")
    payload = {"name": "hook", "url": f"{receiver.url}/", "events": ["*"]}
    services.create_webhook(actor=ALICE, organization=organization, payload=payload)
    receiver.behave = lambda _number, _path: "hang"
    with transaction.atomic():
        audit.services.record(actor=ALICE, action="organization.updated", at=organization, key="empty")
    worker = threading.Thread(target=_work)
    worker.start()
    _wait_for(lambda: receiver.received)
    threading.Timer(0.5, receiver.released.set).start()
    delete_organization(actor=ALICE, organization=organization)
    worker.join(60)

    assert not WebhookCursor.objects.exists()
    assert not worker.is_alive()


@pytest.mark.processes
def test_worker__killed_in_the_midst_of_a_delivery__leaves_it_to_the_next(organization, make_webhook, receiver):
    receiver.behave = lambda number, _path: "hang" if number == 0 else "ok"
    issued = make_webhook(events=["organization.*"])
    _write(organization, [1, 2])
    code = "import django; django.setup(); from integrations.webhooks import dispatch; dispatch.run()"
    process = subprocess.Popen([sys.executable, "-c", code], env=_environment(), cwd=project_settings.BASE_DIR)
    _wait_for(lambda: receiver.received)
    process.kill()
    process.wait(30)
    receiver.released.set()

    _wait_for(lambda: dispatch.run() and len(receiver.taken()) == 2)
    first, *later = receiver.received
    assert [one.id for one in later] == [first.id, later[1].id]
    assert _told(later) == ["event-1", "event-2"]
    issued.endpoint.cursor.refresh_from_db()
    assert issued.endpoint.cursor.position == Entry.objects.count()


def _environment():
    import os  # noqa: PLC0415 - for this process alone

    database = connection.settings_dict
    url = f"postgres://{database['USER']}@/{database['NAME']}?host={database['HOST']}"
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "flagship.settings",
        "DATABASE_URL": url,
        "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
    }


def _work():
    """As a process of its own: its connection ends with it."""
    try:
        dispatch.run()
    finally:
        connection.close()


def _wait_for(condition, seconds=60):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "It did not come about."
        time.sleep(0.02)
