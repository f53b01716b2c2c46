"""Evaluations are counted in dicts and told to Prometheus later: each once, by the process that answered it."""

from collections import Counter as Counted

from prometheus_client import CollectorRegistry, Counter

from flags.prometheus import Tally


def test_tally__harvested_now_and_then__tells_each_count_once():
    registry = CollectorRegistry()
    counted = Counted()
    tally = Tally(Counter("answers", "For a test.", ["reason"], registry=registry), lambda: counted)

    def told(reason):
        return registry.get_sample_value("answers_total", {"reason": reason})

    counted["ROLLOUT"] += 3
    assert told("ROLLOUT") == 0
    tally.harvest()
    tally.harvest()
    assert told("ROLLOUT") == 3

    counted.clear()
    tally.reset()
    counted["DEFAULT"] += 1
    tally.harvest()
    # What was not told before the fork is the parent's to tell.
    assert (told("ROLLOUT"), told("DEFAULT")) == (3, 1)
