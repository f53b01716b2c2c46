"""An attribute's way: from a context over HTTP, beside the server's own exposure, to a segment of the results."""

import pytest

from analytics.enrichment.attributes import WantedAttributes
from analytics.event_records import unpack
from analytics.pipeline import exposure_buffer
from analytics.pipeline.brokers import broker
from analytics.pipeline.exposure_buffer import ExposureBuffer
from analytics.services import store_events
from experiments.models import Experiment
from experiments.selectors import wanted_attributes
from experiments.tests.conftest import START
from flags.evaluation import answers
from flags.propagation.runtime import RUNTIME


@pytest.fixture
def evaluate(key, monkeypatch):
    """Evaluate over HTTP; the exposures go through a buffer of the test's own, and are stored at the end."""
    names = WantedAttributes()
    names.also_from(wanted_attributes)
    names.read()
    monkeypatch.setattr(names, "refresh", lambda: None)
    monkeypatch.setattr(exposure_buffer, "WANTED", names)
    sent: list[bytes] = []
    monkeypatch.setattr(broker(), "append", lambda packed, **_: sent.extend(packed))
    exposures = ExposureBuffer(capacity=5000, flush_seconds=0.02)
    monkeypatch.setattr(answers, "EXPOSURES", exposures)
    RUNTIME.refresh()
    caller = key()

    def _evaluate(contexts):
        for number, attributes in enumerate(contexts):
            body = {"flagKey": "new-checkout", "userId": f"user-{number}", "attributes": attributes}
            assert caller.post("flags/evaluate", body).status_code == 200
        assert exposures.flush(timeout=90)
        for packed in sent:
            store_events(unpack(packed))

    yield _evaluate
    exposures.close(timeout=0.1)


@pytest.fixture
def experiment(make_experiment, start):
    return start(make_experiment(breakdowns=["tier"]), at=START)


CONTEXTS = [{"country": "DE", "tier": 3}] * 12 + [{"country": "US", "email": "a@example.com"}] * 8 + [{}] * 5


def test_breakdown__of_evaluations_over_http__has_their_segments(experiment, evaluate, viewer):
    evaluate(CONTEXTS)
    countries, tiers, emails = (
        viewer.get(f"experiments/{experiment.key}/results", segment=name).json()
        for name in ("country", "tier", "email")
    )

    assert [(row["value"], row["users"]) for row in countries["breakdown"]["segments"]] == [("DE", 12), ("US", 8)]
    assert countries["breakdown"]["unknownUsers"] == 5
    assert [(row["value"], row["users"]) for row in tiers["breakdown"]["segments"]] == [("3", 12)]
    assert (emails["breakdown"]["segments"], emails["breakdown"]["unknownUsers"]) == ([], 25)
    assert "No exposure carries 'email'" in " ".join(emails["caveats"])


def test_breakdowns__may_change_while_running_and_are_wanted_until_the_end(experiment, editor):
    answer = editor.patch(
        f"experiments/{experiment.key}", {"version": experiment.version, "breakdowns": ["plan", "plan"]}
    )

    assert (answer.status_code, answer.json()["breakdowns"]) == (200, ["plan"])
    assert wanted_attributes() == {(experiment.environment_id, experiment.key): ["plan"]}
    editor.post(f"experiments/{experiment.key}/complete", {"decision": "stop"})
    assert wanted_attributes() == {}


@pytest.mark.parametrize("names", [["userId"], [""], [str(number) for number in range(11)], "country"])
def test_breakdowns__that_are_no_attributes_users_share__are_refused(experiment, editor, names):
    answer = editor.patch(f"experiments/{experiment.key}", {"version": experiment.version, "breakdowns": names})

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["attr"].startswith("breakdowns")
    assert Experiment.objects.get().breakdowns == ["tier"]
