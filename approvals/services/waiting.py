"""The requests that wait, once a policy has changed: what they are asked now."""

from approvals import needs
from approvals.guard import ask_resource
from approvals.models import ChangeRequest
from approvals.rules.content import Part
from approvals.selectors import waiting_over
from tenancy.models import Environment


def ask_again(environment: Environment) -> None:
    """Work out anew what the environment, which is locked, asks of each request that would change something there."""
    environment.refresh_from_db(fields=["is_guarded"])
    for request in waiting_over([environment]):
        parts = [Part(**part) for part in request.parts if part["environment"] == environment.key]
        found = needs.asks_of([needs.Touched(environment, environment.config_version, parts)])
        others = [ask for ask in request.asks if ask["environment"] != environment.key]
        asks = [*others, *(ask_resource(ask) for ask in found)]
        ChangeRequest.objects.filter(pk=request.pk).update(asks=asks)
