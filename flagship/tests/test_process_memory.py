"""Singletons that remember something: each has registered how it begins anew, and does."""

import sys

from analytics.enrichment.attributes import WANTED
from analytics.pipeline.exposure_buffer import EXPOSURES
from experiments.selectors import wanted_attributes
from flags.propagation.runtime import RUNTIME
from tenancy import process_memory
from tenancy.authentication.keyring import KEYRING
from tenancy.callers.limits import BUCKETS

APPS = ("audit", "tenancy", "integrations", "analytics", "flags", "experiments", "rollouts", "approvals", "flagship")


def test_singletons__each_that_can_be_reset__is_registered():
    # Prometheus' own counters can be reset as well; what they count is of no test's making.
    ours = (*APPS, "openflagship")
    modules = [module for name, module in sorted(sys.modules.items()) if name.partition(".")[0] in APPS]
    found = {
        name: value
        for module in modules
        for name, value in vars(module).items()
        if name.isupper() and type(value).__module__.partition(".")[0] in ours
        if callable(getattr(value, "reset", None))
    }

    assert {"BUCKETS", "EXPOSURES", "KEYRING", "RUNTIME", "WANTED"} <= found.keys()
    registered = {id(getattr(reset, "__self__", None)) for reset in process_memory._resets}
    assert sorted(name for name, value in found.items() if id(value) not in registered) == []


def test_reset_all__each_memory__is_as_at_the_start():
    BUCKETS.spend("somebody", 1)
    KEYRING.revision = 7
    RUNTIME.is_redis_there = True
    EXPOSURES.dropped = 3
    WANTED.was_read = True

    process_memory.reset_all()

    assert BUCKETS.spend("somebody", 1) == (True, 0.0)
    assert (KEYRING.revision, RUNTIME.is_redis_there, EXPOSURES.dropped, WANTED.was_read) == (-1, False, 0, False)
    assert WANTED._source is wanted_attributes
