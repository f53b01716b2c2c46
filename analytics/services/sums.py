"""Sums kept between one night's results and the next, so that a night works out its own days only."""

from datetime import datetime, timedelta

from analytics.stores import store
from analytics.stores.base import Counting, Pauses, Period
from analytics.stores.distributions import Distribution
from analytics.stores.pairs import Pairing


def keep_sums(  # noqa: PLR0917 - in the order of the selectors that read them
    environment_id: int,
    experiment: str,
    event_name: str,
    since: datetime,
    until: datetime,
    window: timedelta | None,
    *,
    pauses: Pauses = (),
) -> int:
    """Keep the sums of days of first exposures whose `window` is over; return how many days had to be worked out.

    The summaries are the same with and without; with it they cost what may have changed since, not what there is.
    """
    return store().keep_sums(
        Period(environment_id, experiment, since, until, pauses), Counting(event_name, window, timedelta(0))
    )


def keep_pairs(
    environment_id: int,
    experiment: str,
    since: datetime,
    until: datetime,
    pairing: Pairing,
    *,
    pauses: Pauses = (),
) -> int:
    """As `keep_sums`, for pairs of figures: ratios, caps, CUPED."""
    return store().keep_pairs(Period(environment_id, experiment, since, until, pauses), pairing)


def keep_segments(  # noqa: PLR0917 - likewise
    environment_id: int,
    experiment: str,
    since: datetime,
    until: datetime,
    pairing: Pairing,
    attribute: str,
    *,
    pauses: Pauses = (),
) -> int:
    """As `keep_pairs`, by the value of an attribute; it commits as it goes, unless within a transaction."""
    return store().keep_segments(Period(environment_id, experiment, since, until, pauses), pairing, attribute)


def keep_distribution(
    environment_id: int,
    experiment: str,
    since: datetime,
    until: datetime,
    distribution: Distribution,
    *,
    pauses: Pauses = (),
) -> int:
    """As `keep_sums`, for distributions: quantiles, and caps that a share of the users sets."""
    return store().keep_distribution(Period(environment_id, experiment, since, until, pauses), distribution)
