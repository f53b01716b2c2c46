"""An even split that is asked for again keeps its buckets, whatever the flag's rollout has become."""

import pytest

from experiments import services
from experiments.models import Experiment
from flags.models import FlagConfig
from flags.services import update_flag
from tenancy.testing import ALICE


@pytest.mark.parametrize(("is_partial", "sent"), [(True, {"allocation": None}), (False, {})])
def test_update_experiment__even_split_again__moves_nobody(environment, make_experiment, start, is_partial, sent):
    running = start(make_experiment(priority=5, trafficPercent=50))
    rollout = [{"variant": "control", "percent": 90}, {"variant": "treatment", "percent": 10}]
    update_flag(actor=ALICE, environment=environment, key="new-checkout", payload={"rollout": rollout}, version=None)
    before = FlagConfig.objects.get().experiment["allocation"]
    whole = {"name": "Checkout", "primaryMetric": "purchase-rate", "priority": 5, **sent}
    services.update_experiment(
        actor=ALICE,
        environment=environment,
        pk=running.pk,
        payload={"trafficPercent": 60, **(sent if is_partial else whole)},
        version=None,
        is_partial=is_partial,
    )
    assert Experiment.objects.get().allocation == before
    assert FlagConfig.objects.get().experiment["allocation"] == before
