"""Dead letters of one environment, as a person acts on them: sent again, or thrown away."""

from typing import Final

import audit.services
from analytics.models import DeadLetter
from analytics.pipeline import dead_letters
from analytics.pipeline.brokers.base import BrokerAwayError, BrokerFullError
from audit.actors import Actor
from tenancy.errors import Unavailable
from tenancy.models import Environment

# Each is sent by itself, while somebody waits for the page.
MOST_AT_ONCE: Final = 500


def retry_dead_letters(*, actor: Actor, environment: Environment) -> int:
    """Send the oldest again, at most 500. Those that fail again come back. Raises Unavailable; what is left stays."""
    letters = DeadLetter.objects.filter(environment_id=environment.pk).order_by("pk")
    ids = list(letters.values_list("pk", flat=True)[:MOST_AT_ONCE])
    try:
        count = dead_letters.retry(ids)
    except (BrokerAwayError, BrokerFullError) as error:
        sent = len(ids) - DeadLetter.objects.filter(pk__in=ids).count()
        _record(actor, environment, "events.dead_letters_retried", sent)
        raise Unavailable(f"Not all were sent, and the others stay: {error}") from error
    _record(actor, environment, "events.dead_letters_retried", count)
    return count


def discard_dead_letters(*, actor: Actor, environment: Environment, newest: int, reason: str) -> int:
    """Throw those away for good that are no newer than `newest`, a dead letter's id."""
    letters = DeadLetter.objects.filter(environment_id=environment.pk, pk__lte=newest)
    count = dead_letters.discard(list(letters.values_list("pk", flat=True)))
    _record(actor, environment, "events.dead_letters_discarded", count, reason)
    return count


def _record(actor: Actor, environment: Environment, action: str, count: int, reason: str = "") -> None:
    if count:
        audit.services.record(
            actor=actor, action=action, at=environment, key=environment.key, after={"count": count}, reason=reason
        )
