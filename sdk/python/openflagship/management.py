"""Calls of the management API for the command, and how the command fails."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from openflagship.client.transport.effects import Endpoint
from openflagship.client.transport.http import Response, request
from openflagship.client.transport.threads import perform


class CommandError(Exception):
    """A failure, with a message for the person at the terminal."""


def say(line: str) -> None:
    """Print a line at once, as whoever follows a pipe expects it."""
    print(line, flush=True)  # noqa: T201 - a command talks to the terminal


@dataclass(frozen=True, slots=True)
class Server:
    """A FlagShip server, and the credential that a command has for it."""

    url: str
    secret: str
    organization: str
    wait_seconds: float

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the object that the server answers; empty for 204. Raises CommandError."""
        headers = {"Authorization": f"Bearer {self.secret}", "Content-Type": "application/json"}
        if self.organization:
            headers["X-Tenant-ID"] = self.organization
        response = answer_of(self.url, method, path, headers, body, wait_seconds=self.wait_seconds)
        if response.status >= 300:
            raise CommandError(f"the server answered {response.status}: {response.reason or 'no reason given'}")
        answer = decoded(response)
        if not isinstance(answer, dict):
            raise CommandError(f"{self.url} answered {response.status} without what was asked for: is it FlagShip?")
        return answer


def answer_of(
    url: str, method: str, path: str, headers: dict[str, str], body: dict[str, Any] | None, *, wait_seconds: float
) -> Response:
    """One request and its answer, whatever its status. Raises CommandError where there is none."""
    content = b"" if body is None else json.dumps(body).encode()
    try:
        return perform(request(Endpoint.of(url), method, path, headers, content, timeout_seconds=wait_seconds))
    except (OSError, ValueError) as error:
        raise CommandError(f"{url}: {error}") from error


def decoded(response: Response) -> Any:
    """The answer's JSON; None for what is none, and for a list or text that cannot be read."""
    try:
        return json.loads(response.body)
    except (ValueError, RecursionError):
        return None
