"""A sequential test on whose events they are, for events that one of two arms hardly has. It holds at every look."""

import math

from scipy.special import betaln
from scipy.stats import beta


def share_is_shown_above(events: float, total: float, share: float, alpha: float) -> bool:
    """Is the arm that has `share` of the users shown to have more than that share of the users with an event?

    Under no harm each such user is of that arm with probability `share` at the most. The likelihood ratio is mixed
    over a uniform prior above `share`, which makes it a nonnegative supermartingale; so the chance that it ever
    reaches 1/alpha is at most alpha. Source: Ville 1939; Robbins 1970, Annals of Mathematical Statistics 41, 1397-1409.
    """
    if not 0 < share < 1 or total <= 0:
        return False
    others = total - events
    log_mixture = betaln(events + 1, others + 1) + beta.logsf(share, events + 1, others + 1) - math.log(1 - share)
    log_null = events * math.log(share) + others * math.log(1 - share)
    return bool(log_mixture - log_null >= -math.log(alpha))
