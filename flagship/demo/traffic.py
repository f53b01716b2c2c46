"""A simulated service that uses FlagShip over HTTP alone: it evaluates users, and reports who converted."""

import random
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import orjson
import urllib3

_TIMEOUT = urllib3.Timeout(connect=2.0, read=10.0)
# Ids make every request safe to repeat. Retry-After is obeyed; else waits double from 0.2 s.
_RETRIES = urllib3.Retry(
    total=6,
    backoff_factor=0.2,
    backoff_jitter=0.1,
    backoff_max=5.0,
    status_forcelist=[429, 502, 503, 504],
    allowed_methods=None,
    raise_on_status=False,
)


class TrafficError(Exception):
    """The server refused the request, or cannot be reached."""


class Api:
    """A keep-alive client with one credential."""

    def __init__(self, base_url: str, secret: str, *, tenant: str | None = None, connections: int = 8) -> None:
        headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
        if tenant is not None:
            headers["X-Tenant-ID"] = tenant
        self._base_url = base_url.rstrip("/")
        self._pool = urllib3.PoolManager(
            maxsize=connections, block=True, timeout=_TIMEOUT, retries=_RETRIES, headers=headers
        )

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        return self._send("GET", path, fields=dict(query or {}))

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._send("POST", path, body=orjson.dumps(body))

    def _send(self, method: str, path: str, **content: Any) -> Any:
        try:
            response = self._pool.request(method, f"{self._base_url}/api/{path}", **content)
        except urllib3.exceptions.HTTPError as error:
            raise TrafficError(f"{self._base_url} cannot be reached: {error}") from error
        if response.status >= 400:
            raise TrafficError(
                f"{method} {path} answered {response.status}: {response.data[:500].decode(errors='replace')}"
            )
        return orjson.loads(response.data) if response.data else None


@dataclass(slots=True)
class Sent:
    """What the service sent, by variant."""

    users: dict[str, int] = field(default_factory=dict)
    conversions: dict[str, int] = field(default_factory=dict)
    outside: int = 0

    def count(self, variant: str, *, is_in_experiment: bool, converted: bool) -> None:
        if not is_in_experiment:
            self.outside += 1
            return
        self.users[variant] = self.users.get(variant, 0) + 1
        self.conversions[variant] = self.conversions.get(variant, 0) + converted


@dataclass(frozen=True, slots=True)
class Plan:
    """`rates` are by variant. The same seed sends the same users, who then do the same."""

    users: int
    rates: Mapping[str, float]
    flag_key: str
    event_name: str
    seed: str
    workers: int = 4

    def user_id(self, number: int) -> str:
        return f"sim-{self.seed}-{number:06d}"

    def converts(self, number: int, variant: str) -> bool:
        dice = random.Random(f"{self.seed}:{number}")  # noqa: S311 - a simulation's dice
        return dice.random() < self.rates.get(variant, 0.0)


def drive(api: Api, plan: Plan, *, advance: Any) -> Sent:
    """Send the whole plan; `advance` is called once per user done. Raises TrafficError."""
    sent = Sent()

    def visit(number: int) -> tuple[str, bool, bool]:
        user_id = plan.user_id(number)
        answer = api.post("flags/evaluate", {"flagKey": plan.flag_key, "userId": user_id, "defaultValue": False})
        variant, is_in_experiment = answer["variant"], "experiment" in answer
        converted = plan.converts(number, variant)
        if converted:
            api.post(
                "events/conversion",
                {
                    "id": str(uuid5(NAMESPACE_URL, f"{user_id}:{plan.event_name}")),
                    "userId": user_id,
                    "eventName": plan.event_name,
                    "timestamp": datetime.now(UTC).isoformat(),
                },
            )
        return variant, is_in_experiment, converted

    with ThreadPoolExecutor(plan.workers) as workers:
        for variant, is_in_experiment, converted in workers.map(visit, range(1, plan.users + 1)):
            sent.count(variant, is_in_experiment=is_in_experiment, converted=converted)
            advance()
    return sent
