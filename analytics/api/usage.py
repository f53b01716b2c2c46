"""POST events/usage: what an SDK or an edge evaluated, summed up since its last summary."""

import re
from collections import Counter
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, cast

import msgspec
from django.db import DatabaseError
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from openflagship.engine.answer import OPENFEATURE_REASONS
from openflagship.wire.bodies import NUL_REFUSAL
from rest_framework.exceptions import ParseError
from rest_framework.response import Response

from analytics.api.acceptance import Sender
from analytics.api.parsing import UNREADABLE, code_of
from analytics.api.views import ACCEPTED, sent_body
from analytics.enrichment.known_names import KNOWN_NAMES
from analytics.event_records import MAX_AHEAD
from analytics.usage.batches import Counted, Source, UsageBatch
from analytics.usage.folding import fold, moment_of
from analytics.usage.retention import DAYS_KEPT_DAYS
from tenancy.api.authentication import IsEnvironmentKey
from tenancy.api.data_plane import DataPlaneView
from tenancy.api.request import Request
from tenancy.errors import Invalid, PayloadTooLarge, Unavailable

MAX_ROWS = 20_000
MAX_UNKNOWN = 100
MAX_AGE = timedelta(days=DAYS_KEPT_DAYS)
_RETRY_AFTER_SECONDS = 5
# Of a newer SDK than this server.
_OTHER_REASON = "UNKNOWN"
_PATH = re.compile(r" - at `\$\.?(.*)`\Z")

_Key = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
_Instant = Annotated[datetime, msgspec.Meta(tz=True)]
_Count = Annotated[int, msgspec.Meta(ge=1, le=10**12)]


class FlagCount(msgspec.Struct, rename="camel", frozen=True, gc=False):
    """How often a flag gave a variant for a reason. Unknown fields are ignored, so that newer SDKs may send more."""

    flag_key: _Key
    count: _Count
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=50)]
    variant: _Key | None = None


class UnknownFlagCount(msgspec.Struct, rename="camel", frozen=True, gc=False):
    """How often a key was asked for that no flag has."""

    flag_key: _Key
    count: _Count


class UsageIn(msgspec.Struct, rename="camel", frozen=True, gc=False):
    """The body of a summary."""

    sdk: Annotated[str, msgspec.Meta(pattern=r"^[^\s/]{1,50}/[^\s/]{1,50}$")]
    until: _Instant
    flags: Annotated[list[FlagCount], msgspec.Meta(max_length=MAX_ROWS)] = []
    unknown_flags: Annotated[list[UnknownFlagCount], msgspec.Meta(max_length=MAX_UNKNOWN)] = []
    service: Annotated[str, msgspec.Meta(min_length=1, max_length=100)] | None = None
    source: Literal["sdk", "edge"] = "sdk"


_decoder = msgspec.json.Decoder(UsageIn)


class UsageView(DataPlaneView):
    """Evaluations since the last summary, counted once by the header `Idempotency-Key`."""

    permission_classes = [IsEnvironmentKey]

    @extend_schema(
        operation_id="events_usage",
        request={"application/json": {"$ref": "#/components/schemas/UsageSummary"}},
        responses={202: ACCEPTED},
    )
    def post(self, request: Request) -> Response:
        sender = Sender(
            environment_id=cast(int, request.user.environment_id),
            name=request.user.name or "api",
            idempotency_key=request.META.get("HTTP_IDEMPOTENCY_KEY", ""),
        )
        return Response(take_usage(sent_body(request), sender), status=202)


def take_usage(body: bytes, sender: Sender) -> dict[str, Any]:
    """Return `{accepted, rejected}`. Raises ParseError, Invalid, PayloadTooLarge and Unavailable."""
    sent, key = _read(body), sender.idempotency_key
    if not 0 < len(key) <= 255 or not key.isprintable():
        raise Invalid(
            "Send an Idempotency-Key of 1 to 255 characters, the same when the summary is sent again.",
            attr="Idempotency-Key",
            code="required",
        )
    try:
        fold(_batch(sent, sender.environment_id, key, sender.name))
    except DatabaseError as error:
        raise Unavailable(
            "PostgreSQL does not take usage at present. Send the summary again; what was kept counts once.",
            retry_after_seconds=_RETRY_AFTER_SECONDS,
        ) from error
    return {"accepted": len(sent.flags) + len(sent.unknown_flags), "rejected": []}


def _read(body: bytes) -> UsageIn:
    if b"\\u0000" in body:
        raise Invalid(NUL_REFUSAL, code="invalid_text")
    try:
        sent = _decoder.decode(body)
    except msgspec.ValidationError as error:
        message = str(error)
        at = _PATH.search(message)
        text = _PATH.sub("", message)
        if "length <=" in text and at is not None and at[1] in {"flags", "unknownFlags"}:
            raise PayloadTooLarge(
                f"`{at[1]}` has too many rows: at most {MAX_ROWS:,}, and {MAX_UNKNOWN} unknown."
            ) from error
        raise Invalid(f"{text}.", attr=at[1] if at is not None and at[1] else None, code=code_of(text)) from error
    except UNREADABLE as error:
        raise ParseError(f"The body is not valid JSON: {error}.") from error
    now = timezone.now()
    if not now - MAX_AGE <= sent.until <= now + MAX_AHEAD:
        raise Invalid(
            f"Send a moment of the last {DAYS_KEPT_DAYS} days, at most 24 h ahead of the server's clock.",
            attr="until",
            code="out_of_range",
        )
    return sent


def _batch(sent: UsageIn, environment_id: int, key: str, name: str) -> UsageBatch:
    """What is not served here counts as an unknown flag, so that callers cannot invent rows without end.

    Raises Unavailable while this process does not know what is served.
    """
    source = Source(environment_id, sent.source, sent.service or name, sent.sdk)
    known = KNOWN_NAMES.flags(environment_id)
    if known is None:
        raise Unavailable(
            "The configuration is not loaded yet. Send the summary again.", retry_after_seconds=_RETRY_AFTER_SECONDS
        )
    flags: Counter[Counted] = Counter()
    unknown: Counter[tuple[Source, str]] = Counter()
    for row in sent.flags:
        if row.flag_key not in known:
            unknown[source, row.flag_key] += row.count
            continue
        variants = known[row.flag_key]
        # A variant that is gone is counted without its name.
        is_there = row.variant is not None and (variants is None or row.variant in variants)
        reason = row.reason if row.reason in OPENFEATURE_REASONS else _OTHER_REASON
        flags[Counted(source, row.flag_key, (row.variant or "") if is_there else "", reason)] += row.count
    for one in sent.unknown_flags:
        unknown[source, one.flag_key] += one.count
    return UsageBatch(key, moment_of(sent.until, timezone.now()), flags, unknown, environment_id)
