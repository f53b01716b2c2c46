"""Workers that die at any statement, two of them at once, a day without beat: the document is the closed form."""

import random
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

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


def dying_at(statement: int, deaths: list[int]) -> Callable[..., Any]:
    """Terminate the worker's own connection in place of its n-th statement."""
    count = 0

    def execute_or_die(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        nonlocal count
        count += 1
        if count != statement:
            return execute(sql, params, many, context)
        deaths.append(statement)
        return execute("SELECT pg_terminate_backend(pg_backend_pid())", None, False, context)

    return execute_or_die


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("flag")
def test_workers__killed_at_random__leave_the_closed_form(
    start: Callable[..., RolloutPlan], environment: Environment
) -> None:
    plan = start(STEPS)
    begun: datetime = plan.started_at  # type: ignore[assignment]  # it was started
    before, deaths = Change.objects.filter(key=KEY).count(), []
    # Beat is away for a day in the middle, and one worker's clock goes back.
    hours = [0.5, 1, 2.5, 2, 3, 4, 4.2, 5, 6, 30]

    def work(number: int) -> None:
        dice = random.Random(number)
        for hour in hours:
            # First in the midst of the work, then anywhere; the last of them lives.
            for statement in (dice.randint(12, 25), *(dice.randint(1, 40) for _ in range(3)), 0):
                try:
                    with connection.execute_wrapper(dying_at(statement, deaths)):
                        if not executor.run(begun + timedelta(hours=hour)):
                            break
                except Error:
                    connection.close()
        connections.close_all()

    workers = [threading.Thread(target=work, args=[number]) for number in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert max(deaths) >= 12
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
