"""Asks through OpenFeature's flagd provider, in a process of its own: its generated code and ours have the same names.

Standard input: a line `{port, selector}`, then `{rows}` or `{flag, default}`; standard output: a line of JSON each, and
one for each event.
"""

import json
import sys
import threading
from typing import Any

from openfeature import api
from openfeature.contrib.provider.flagd import FlagdProvider
from openfeature.contrib.provider.flagd.config import CacheType, ResolverType
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import EventDetails, ProviderEvent

_saying = threading.Lock()


def say(**members: Any) -> None:
    with _saying:
        sys.stdout.write(json.dumps(members) + "\n")
        sys.stdout.flush()


def heard(event: str) -> Any:
    def tell(details: EventDetails) -> None:
        say(event=event, flags=details.flags_changed)

    return tell


def asked(client: Any, row: dict[str, Any]) -> dict[str, Any]:
    context = dict(row.get("context") or {})
    details = getattr(client, f"get_{row['type']}_details")(
        row["flag"], row["default"], EvaluationContext(context.pop("targetingKey", None), context)
    )
    return {
        "value": details.value,
        "variant": details.variant,
        "reason": details.reason,
        "errorCode": details.error_code,
    }


about = json.loads(sys.stdin.readline())
provider = FlagdProvider(
    host="127.0.0.1",
    port=about["port"],
    selector=about["selector"],
    resolver_type=ResolverType.RPC,
    cache=CacheType.LRU,
    deadline_ms=60_000,
    retry_backoff_ms=100,
    retry_backoff_max_ms=200,
)
api.set_provider_and_wait(provider)
client = api.get_client()
client.add_handler(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED, heard("changed"))
client.add_handler(ProviderEvent.PROVIDER_STALE, heard("stale"))
client.add_handler(ProviderEvent.PROVIDER_READY, heard("ready"))
say(event="started")
for line in sys.stdin:
    say(results=[asked(client, row) for row in json.loads(line)["rows"]])
api.shutdown()
