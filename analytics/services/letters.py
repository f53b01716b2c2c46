"""Dead letters of one environment, as a person acts on them: sent again, or thrown away."""

import audit.services
from analytics.models import DeadLetter
from analytics.pipeline import dead_letters
from analytics.pipeline.brokers.base import BrokerAwayError, BrokerFullError
from audit.actors import Actor
from tenancy.errors import Unavailable
from tenancy.models import Environment


def retry_dead_letters(*, actor: Actor, environment: Environment) -> int:
    """Send them again. Those that fail again come back. Raises Unavailable; what was not sent stays."""
    ids = _ids(environment)
    try:
        count = dead_letters.retry(ids)
    except (BrokerAwayError, BrokerFullError) as error:
        raise Unavailable(f"Not all were sent, and the others stay: {error}") from error
    _record(actor, environment, "events.dead_letters_retried", count)
    return count


def discard_dead_letters(*, actor: Actor, environment: Environment, reason: str) -> int:
    """Throw them away for good."""
    count = dead_letters.discard(_ids(environment))
    _record(actor, environment, "events.dead_letters_discarded", count, reason)
    return count


def _ids(environment: Environment) -> list[int]:
    return list(DeadLetter.objects.filter(environment_id=environment.pk).values_list("pk", flat=True))


def _record(actor: Actor, environment: Environment, action: str, count: int, reason: str = "") -> None:
    if count:
        audit.services.record(
            actor=actor, action=action, at=environment, key=environment.key, after={"count": count}, reason=reason
        )
