"""Celery's beat ends when it is told to, also in the middle of a query."""

import signal

import pytest

from flagship.celery import app


class Busy:
    """A service in the middle of a query: to write the schedule now would wait for ever."""

    def sync(self):
        pytest.fail("the schedule is written by the signal's handler")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_beat__told_to_end__ends_without_a_query(number):
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        app.Beat(quiet=True).install_sync_handler(Busy())
        with pytest.raises(SystemExit):
            signal.raise_signal(number)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
