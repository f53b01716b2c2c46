"""What the server says that this edge serves: fetched with the edge's one credential, then followed by stream.

The last one is kept, sealed with the credential, so that an edge starts without its server and takes no other's copy.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import time
from collections.abc import Callable
from typing import Any

from openflagship.client.following.life import Signs
from openflagship.client.following.refusals import Pauses, RefusedError, problem_of
from openflagship.client.options import Options
from openflagship.client.snapshots.stores import SnapshotStore
from openflagship.client.transport.addresses import STREAM_HEADER, StreamAddress
from openflagship.client.transport.effects import Call, Endpoint, Logic, Pause
from openflagship.client.transport.http import Exchange, Response, request
from openflagship.wire import routes
from openflagship.wire.credentials import (
    EDGE_EVENT,
    EdgeConfiguration,
    EdgeEnvironmentConfiguration,
    EdgeKey,
    FurtherEdge,
)

log = logging.getLogger("openflagship.edge")


class Directory:
    """`run` is the logic for a driver. `taken` is called on the loop with each new configuration."""

    def __init__(
        self,
        credential: str,
        url: str,
        options: Options,
        store: SnapshotStore | None,
        taken: Callable[[EdgeConfiguration], None],
    ) -> None:
        self.configuration: EdgeConfiguration | None = None
        self.connection = "starting"
        self.error: str | None = None
        self._credential = credential
        self._options = options
        self._store = store
        self._taken = taken
        self._server = Endpoint.of(url, options.proxy)
        self._address = StreamAddress(self._server, options.stream_url, options.proxy)
        self._headers = {"Authorization": f"Bearer {credential}"}
        self._pauses = Pauses(options)

    def status(self) -> dict[str, Any]:
        """For `/readyz`."""
        found, error = self.configuration, self.error
        if found is not None and not found["environments"]:
            error = error or "the server names no environment for this credential"
        return {
            "connection": self.connection,
            "revision": None if found is None else found["revision"],
            "error": error,
        }

    def load(self) -> EdgeConfiguration | None:
        """The kept configuration; None where there is none that may be used. May be slow."""
        if self._store is None:
            return None
        try:
            found = self._store.load()
            if found is None:
                return None
            kept = json.loads(found[0])
            text = self._unsealed(kept["configuration"], str(kept["seal"]))
            return read_configuration(json.loads(text))
        except Exception as error:  # noqa: BLE001 - a store may be foreign code; without it the edge starts empty
            log.warning("the kept configuration of this edge is not used: %s", error)
            return None

    def use(self, configuration: EdgeConfiguration) -> None:
        self.configuration = configuration
        self._taken(configuration)

    def run(self) -> Logic[None]:
        """Run until the driver stops it."""
        while True:
            try:
                yield from self._fetch()
                yield from self._follow()
                self.connection = "reconnecting"
                seconds = self._pauses.usual.next_seconds()
            except (OSError, ValueError) as error:
                is_lasting = isinstance(error, RefusedError) and error.is_lasting
                self.connection = "refused" if is_lasting else "reconnecting"
                seconds = self._pauses.seconds_after(error)
                text = (str(error) or type(error).__name__).replace(self._credential, "…")
                if text != self.error:
                    log.warning("no word from the server of what this edge serves: %s", text)
                self.error = text
            yield Pause(seconds)

    def _fetch(self) -> Logic[None]:
        path = routes.EDGE_CONFIGURATION.paths[0]
        response: Response = yield from request(
            self._server, "GET", path, self._headers, timeout_seconds=self._options.connect_seconds,
            answer_seconds=self._options.answer_seconds,
        )  # fmt: skip
        if response.status != 200:
            raise RefusedError(response, "GET edge/configuration")
        self._address.note(response.headers.get(STREAM_HEADER))
        found = read_configuration(json.loads(response.body))
        if self.configuration is None or found["revision"] >= self.configuration["revision"]:
            # An older one comes from a process that lags behind. The stream is asked for the newest next.
            yield from self._take(found)

    def _follow(self) -> Logic[None]:
        exchange = Exchange(self._address.current(), self._options.connect_seconds)
        try:
            headers = {**self._headers, "Accept": "text/event-stream", "Cache-Control": "no-cache"}
            response = yield from exchange.send("GET", routes.EDGE_STREAM.paths[0], headers)
            if response.status != 200 or not response.headers.get("content-type", "").startswith("text/event-stream"):
                yield from exchange.read_refusal(response)
                self._address.failed()
                raise RefusedError(response, "GET edge/stream", problem_of(response))
            self.connection, self.error = "streaming", None
            since = time.monotonic()
            signs = Signs(exchange, self._options.silence_seconds)
            while (sign := (yield from signs.next())) is not None:
                for event in sign.events:
                    # What a later release tells in a kind of its own is passed over.
                    if event.kind == EDGE_EVENT:
                        yield from self._take(read_configuration(json.loads(event.data)))
                self._pauses.lasting.reset()
                if time.monotonic() - since >= self._options.healthy_seconds:
                    self._pauses.usual.reset()
        except (OSError, ValueError):
            yield from exchange.close()
            raise
        yield from exchange.close()

    def _take(self, found: EdgeConfiguration) -> Logic[None]:
        if found == self.configuration:
            return
        self.use(found)
        store = self._store
        if store is not None:
            text = json.dumps(found)
            kept = json.dumps({"seal": self._seal(text), "configuration": text}).encode()
            yield Call(lambda: _save(store, kept, found["revision"]))

    def _unsealed(self, text: str, seal: str) -> str:
        if not hmac.compare_digest(seal.encode(), self._seal(text).encode()):
            raise ValueError("its seal is not this credential's")
        return text

    def _seal(self, text: str) -> str:
        return hmac.new(self._credential.encode(), text.encode(), hashlib.sha256).hexdigest()


def _save(store: SnapshotStore, kept: bytes, revision: int) -> None:
    try:
        store.save(kept, revision)
    except Exception as error:  # noqa: BLE001 - see `load`
        log.warning("the configuration of this edge could not be kept: %s", error)


def read_configuration(data: Any) -> EdgeConfiguration:
    """Check what was received. Unknown members are ignored. Raises ValueError."""
    try:
        return {
            "organization": _text(data["organization"]),
            "revision": _whole(data["revision"]),
            "environments": [_environment(one) for one in data["environments"]],
            "edges": [_edge(one) for one in data["edges"]],
        }
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"the configuration of this edge is of a form that is not known: {error!r}") from error


def _environment(one: Any) -> EdgeEnvironmentConfiguration:
    return {"name": _text(one["name"]), "keys": [_key(key) for key in one["keys"]]}


def _key(one: Any) -> EdgeKey:
    expires_at = one["expiresAt"]
    if len(bytes.fromhex(_text(one["digest"]))) != hashlib.sha256().digest_size:
        raise ValueError("the digest of a key is no SHA-256")
    return {
        "prefix": _text(one["prefix"]),
        "kind": _text(one["kind"]),
        "digest": one["digest"],
        "expiresAt": None if expires_at is None else float(expires_at),
    }


def _edge(one: Any) -> FurtherEdge:
    return {**_key(one), "environments": [_text(name) for name in one["environments"]]}


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError(f"{value!r} is no text")
    return value


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{value!r} is no whole number")
    return value


def part_for(edge: FurtherEdge, whole: EdgeConfiguration) -> EdgeConfiguration:
    """What a further edge serves of what this one does."""
    names = set(edge["environments"])
    return {
        "organization": whole["organization"],
        "revision": whole["revision"],
        "environments": [one for one in whole["environments"] if one["name"] in names],
        "edges": [one for one in whole["edges"] if names.issuperset(one["environments"])],
    }
