"""Workers that die at any statement, two of them at once, a day without beat: the document is the closed form."""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.db import Error, connection, connections

from audit.services import record_each
from flags.models import Change
from flags.selectors import get_config
from rollouts.executor import plans as executor
from rollouts.models import RolloutPlan
from rollouts.services import conflicts
from rollouts.tests.conftest import KEY, events
from tenancy.models import Environment

STEPS = [{"percent": 11 + number, **({"after": "PT1H"} if number else {})} for number in range(20)]


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("flag")
def test_workers__killed_at_random__leave_the_closed_form(
    start: Callable[..., RolloutPlan], environment: Environment
) -> None:
    plan = start(STEPS)
    begun: datetime = plan.started_at  # type: ignore[assignment]  # it was started
    before, done = Change.objects.filter(key=KEY).count(), threading.Event()
    backends: dict[int, int] = {}
    # Beat is away for a day in the middle, and one worker's clock goes back.
    hours = [0.5, 1, 2.5, 2, 3, 4, 4.2, 5, 6, 30]

    def work(number: int) -> None:
        for hour in hours:
            for _ in range(20):
                try:
                    with connection.cursor() as cursor:
                        cursor.execute("SELECT pg_backend_pid()")
                        backends[number] = cursor.fetchone()[0]
                    if not executor.run(begun + timedelta(hours=hour)):
                        break
                except Error:
                    connection.close()
        connections.close_all()

    def kill() -> None:
        turn = 0
        while not done.wait(0.01):
            turn += 1
            victim = backends.pop(turn % 2, None)
            # Each dies a few times, and then may come to its end.
            if victim is not None and turn < 60:
                with connection.cursor() as cursor:
                    cursor.execute("SELECT pg_terminate_backend(%s)", [victim])
        connections.close_all()

    workers = [threading.Thread(target=work, args=[number]) for number in range(2)]
    killer = threading.Thread(target=kill)
    for thread in (*workers, killer):
        thread.start()
    for worker in workers:
        worker.join()
    done.set()
    killer.join()
    # Whoever died last left the rest to the next one.
    while executor.run(begun + timedelta(hours=30)):
        pass
    plan.refresh_from_db()
    assert (plan.state, plan.current_step) == ("completed", 20)
    allocation = get_config(environment, KEY).allocation
    assert allocation == plan.parts.get().rungs[-1]
    steps = [row.after["step"] for row in events("flag.rollout_progress")]  # type: ignore[index]  # each has one
    assert steps == list(range(1, 21))
    assert Change.objects.filter(key=KEY).count() - before <= len(set(hours))


@pytest.mark.django_db
@pytest.mark.usefixtures("flag")
def test_worker__error_in_the_midst_of_a_step__writes_nothing_of_it(
    start: Callable[..., RolloutPlan], environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = start(STEPS)
    begun: datetime = plan.started_at  # type: ignore[assignment]  # it was started
    before = get_config(environment, KEY).allocation

    def fails(**_: object) -> None:
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(conflicts.audit.services, "record_each", fails)
    executor.run(begun + timedelta(hours=1), most=1)
    plan.refresh_from_db()
    assert (plan.current_step, get_config(environment, KEY).allocation) == (1, before)
    monkeypatch.setattr(conflicts.audit.services, "record_each", record_each)
    executor.run(begun + timedelta(hours=1, minutes=2))
    plan.refresh_from_db()
    assert plan.current_step == 2
