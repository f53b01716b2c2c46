"""Which evaluations are logged as exposures: all of a flag's, or those that a running experiment answers."""

from __future__ import annotations

import pytest
from documents import answer, experiment, flag
from openflagship.engine import decode_flag, encode_flag

EVERYBODY = [[0, 10_000, "treatment"]]


@pytest.mark.parametrize("chosen", ["all", "experiments", "a later choice"])
def test_exposures__chosen__decide_what_is_logged_and_no_answer(chosen: str) -> None:
    document = flag(allocation=EVERYBODY)
    plain = {**document, "exposures": chosen}
    given, in_experiment = answer(plain), answer({**plain, "experiment": experiment()})

    assert (given.variant, given.reason) == (answer(document).variant, answer(document).reason)
    assert given.is_exposure is (chosen != "experiments")
    assert (in_experiment.experiment, in_experiment.is_exposure) == ("checkout-test", True)
    assert answer(plain, None).is_exposure is False
    assert encode_flag(decode_flag(plain)).get("exposures") == ("experiments" if chosen == "experiments" else None)
