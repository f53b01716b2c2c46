"""Before a start: connected services that are too old for an experiment with a split of its own."""

import time

from openflagship.wire.acknowledgements import FEATURES, Understanding

from experiments.design.preflight import check_before_start
from flags.propagation.acknowledgements import Report, record


def test_preflight__connected_services_are_too_old__warns_and_names_them(environment, make_experiment):
    now = int(time.time() * 1000)
    record(
        environment.pk,
        [
            Report("new", "python/0.2.0", 1, now, Understanding(FEATURES)),
            Report("old", "python/0.1.0", 1, now, Understanding(("rule_trees",))),
        ],
    )

    found = check_before_start(make_experiment())

    assert found.may_start
    assert (
        "1 connected service is too old for an experiment with a split of its own (python 0.1.0). "
        "Update it before you start."
    ) in found.warnings
