"""Evaluations are counted in a dict and told to Prometheus later: each once, by the process that answered it."""

from prometheus_client import CollectorRegistry, Counter

from flags.prometheus import Tally


def test_tally__harvested_now_and_then__tells_each_count_once():
    registry = CollectorRegistry()
    tally = Tally(Counter("answers", "For a test.", ["reason"], registry=registry))

    def told(reason):
        return registry.get_sample_value("answers_total", {"reason": reason})

    for _ in range(3):
        tally.add("ROLLOUT")
    assert told("ROLLOUT") == 0
    tally.harvest()
    tally.harvest()
    assert told("ROLLOUT") == 3

    tally.add("ROLLOUT")
    tally.add("DEFAULT")
    tally.after_fork()
    tally.add("DEFAULT")
    tally.harvest()
    # What was not told before the fork is the parent's to tell.
    assert (told("ROLLOUT"), told("DEFAULT")) == (3, 1)
