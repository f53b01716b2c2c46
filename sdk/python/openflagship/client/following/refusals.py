"""What an answer says that is not the one that was asked for, and how old its sender's news is."""

from __future__ import annotations

import math
import random
from urllib.parse import urlsplit

from openflagship.client.options import Options
from openflagship.client.transport.addresses import REDIRECTS
from openflagship.client.transport.backoff import Backoff, seconds_of
from openflagship.client.transport.http import Response

_AGE_HEADER = "x-flagship-age"
# What another try will not soon change: asked again with long pauses. The first is ten times a usual one.
_LASTING = frozenset({401, 403, 404})
_LASTING_FACTOR = 10.0


class RefusedError(OSError):
    """The server answered with a status, or in a form, that was not asked for."""

    def __init__(self, response: Response, what: str, problem: str = "") -> None:
        problem = problem or response.reason
        super().__init__(f"the server answered {response.status} to {what}{': ' if problem else ''}{problem}")
        self.status = response.status
        self.retry_after_seconds = seconds_of(response.headers.get("retry-after")) or 0.0

    @property
    def is_lasting(self) -> bool:
        """Whether another try will not soon bring another answer."""
        return self.status in _LASTING


class StreamRefusedError(RefusedError):
    """The same, of the stream: whether the key works, the snapshot's answer says."""


class Pauses:
    """How long to wait after failures, and after refusals that last."""

    def __init__(self, options: Options) -> None:
        most = options.most_refused_seconds
        self.usual = Backoff(options.first_backoff_seconds, options.most_backoff_seconds)
        self.lasting = Backoff(min(_LASTING_FACTOR * options.first_backoff_seconds, most), most)

    def seconds_after(self, error: Exception) -> float:
        """At least as long as the server asked for."""
        if not isinstance(error, RefusedError):
            return self.usual.next_seconds()
        seconds = (self.lasting if error.is_lasting else self.usual).next_seconds()
        # Jittered upwards, so that all who were refused at once do not come back at once.
        after = error.retry_after_seconds * random.uniform(1.0, 1.25)  # noqa: S311 - jitter, not a secret
        return max(seconds, after)


def age_of(response: Response) -> float | None:
    """For how long the sender has been without news, as it says; None where it says nothing that can be read."""
    try:
        seconds = float(response.headers.get(_AGE_HEADER, ""))
    except ValueError:
        return None
    return seconds if 0.0 <= seconds < math.inf else None


def origin_of(response: Response) -> str:
    try:
        parts = urlsplit(response.headers.get("location", ""))
        port = "" if parts.port is None else f":{parts.port}"
    except ValueError:
        return "what is no address"
    return f"{parts.scheme}://{parts.hostname}{port}"


def problem_of(response: Response) -> str:
    if response.status in REDIRECTS:
        return f"it is at {origin_of(response)}, which the snapshot does not name; give it as stream_url"
    if response.status == 200:
        return f"it is {response.headers.get('content-type', 'of no type')!r}, and no event stream"
    return ""
