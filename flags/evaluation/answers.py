"""Answers of evaluations over HTTP, from memory alone: a parsed body becomes a status and JSON.

Both the DRF views and the fast lane call these functions. They wrap the functions by which the edge answers. They also
log what was answered.
"""

from typing import Any

from openflagship.engine import Answer, CompiledEnvironment, Context
from openflagship.wire.answers import EXPOSURES_OF_EXPERIMENTS, Responder, Responders
from openflagship.wire.bodies import MAX_ATTRIBUTE_BYTES, InvalidError, attribute_problems, text_problem
from openflagship.wire.credentials import NOT_READY

from analytics.pipeline.exposure_buffer import EXPOSURES
from analytics.usage.batches import API, OFREP, Source
from analytics.usage.tally import USAGE
from flags.propagation.runtime import RUNTIME
from tenancy.errors import Problem, Unavailable

_RESPONDERS = Responders()
# As for the source of an exposure that is sent.
MAX_SOURCE_CHARACTERS = 100


class Caller:
    """The caller, as far as an exposure and its usage need to know. It is the recorder of a responder."""

    __slots__ = ("credential", "environment_id", "source", "user_agent")

    kind = API
    counted = USAGE.counted[API]

    def __init__(
        self, environment_id: int, source: str = "api", user_agent: str | None = None, credential: str = ""
    ) -> None:
        # Who asks, as exposures say it: the credential's name, where the request does not name a service.
        self.credential = credential
        self.environment_id = environment_id
        self.source = source
        self.user_agent = user_agent

    def count(self, key: str, answer: Answer) -> None:
        try:
            self.counted[self.environment_id][self.source][id(answer)][0] += 1
        except KeyError:
            USAGE.begin(Source(self.environment_id, self.kind, self.source), key, answer)

    def expose(  # noqa: PLR0917 - as its protocol has it
        self,
        evaluation_id: str,
        key: str,
        unit: str,
        answer: Answer,
        context: Context,
        unix_ms: int,
        is_prefetched: bool = False,
    ) -> None:
        EXPOSURES.add(
            self.environment_id,
            evaluation_id,
            key,
            unit,
            answer.variant or "",
            answer.reason,
            answer.rule_id,
            answer.experiment,
            answer.config_version,
            unix_ms,
            self.source,
            self.user_agent,
            context.attributes,
            is_prefetched,
        )


class OfrepCaller(Caller):
    """One that asks by OpenFeature's protocol."""

    __slots__ = ()

    kind = OFREP
    counted = USAGE.counted[OFREP]


def evaluate(caller: Caller, body: Any, size: int = MAX_ATTRIBUTE_BYTES) -> tuple[int, bytes, str]:
    """Evaluate one flag for one user, log the exposure, and return status, JSON and the evaluation's id.

    `size` is the body's size as sent; a small body is checked less. Raises InvalidError and Unavailable.
    """
    return responder_of(caller).evaluate(_named(caller, body), caller, size)


def evaluate_all(
    caller: Caller,
    body: Any,
    size: int = MAX_ATTRIBUTE_BYTES,
    *,
    exposures: str = EXPOSURES_OF_EXPERIMENTS,
) -> bytes:
    """Evaluate the named flags, by default all, for one user. `exposures` says which answers are logged."""
    return responder_of(caller).evaluate_all(_named(caller, body), caller, size, exposures=exposures)


def _named(caller: Caller, body: Any) -> Any:
    """Take the `source` of a body, the name of the service that asks. Raises InvalidError."""
    if body.__class__ is not dict or "source" not in body:
        return body
    source = body["source"]
    if source is None:
        source = caller.source
    elif not isinstance(source, str) or not 0 < len(source) <= MAX_SOURCE_CHARACTERS or text_problem(source):
        detail = f"Name the service in 1 to {MAX_SOURCE_CHARACTERS} characters, or leave it out."
        raise InvalidError(("source", "invalid", detail))
    caller.source = source
    return {name: value for name, value in body.items() if name != "source"}


def responder_of(caller: Caller) -> Responder:
    """Return the responder of the caller's environment. Raises Unavailable."""
    return _RESPONDERS.of(caller.environment_id, live_environment(caller))


def live_environment(caller: Caller) -> CompiledEnvironment:
    environment = RUNTIME.environments.get(caller.environment_id)
    if environment is None:
        raise Unavailable(NOT_READY, retry_after_seconds=1)
    return environment


def check_attributes(user_id: str | None, attributes: dict[str, Any], problems: list[Problem]) -> None:
    """Add a problem for each attribute that exceeds the documented limits."""
    problems += [Problem(attr, code, detail) for attr, code, detail in attribute_problems(user_id, attributes)]
