"""Request bodies: from bytes to a context for the engine, with the documented limits."""

from __future__ import annotations

import json
from typing import Any, Final

import orjson

from openflagship.engine import Context
from openflagship.wire.errors import PARSE_ERROR, FieldError, RefusedError

MAX_BODY_BYTES: Final = 1024 * 1024
MAX_ATTRIBUTES: Final = 100
MAX_ATTRIBUTE_BYTES: Final = 32 * 1024
MAX_USER_ID_CHARACTERS: Final = 1024
SEND_JSON: Final = "Send JSON, with `Content-Type: application/json`."
NUL_REFUSAL: Final = "The character U+0000 cannot be stored; leave it out."
SURROGATE_REFUSAL: Final = "Half of a surrogate pair is no character; leave it out."
EMPTY: Final = "The body is empty; send a JSON object."
# Encoding a parsed body again makes a number at most five times as long, and nothing else longer.
_SURELY_SMALL_BYTES: Final = MAX_ATTRIBUTE_BYTES // 8
_KNOWN: Final = frozenset({"flagKey", "userId", "attributes", "defaultValue", "flagKeys"})
_JSON_TYPES: Final = frozenset({"application/json", "application/*", "*/*", "*/json"})


class InvalidError(RefusedError):
    """A body that was read and cannot be used."""

    def __init__(self, *problems: FieldError) -> None:
        super().__init__(400, "", *problems)


class OfrepError(Exception):
    """A refusal in OFREP's words."""

    def __init__(self, code: str, details: str) -> None:
        super().__init__(details)
        self.code = code

    @classmethod
    def of(cls, error: RefusedError) -> OfrepError:
        """The refusal of a body that could not be read, in OFREP's words; another refusal is raised as it is."""
        if not error.is_parse_error:
            raise error
        return cls("PARSE_ERROR", str(error))

    def body(self, key: str = "") -> dict[str, str]:
        """The body of the 400; `key` of the flag, where one was asked for."""
        named = {"key": key} if key else {}
        return {**named, "errorCode": self.code, "errorDetails": str(self)}


def text_problem(text: str) -> tuple[str, str] | None:
    """The code and the remedy for text that no store takes; None for any other."""
    if "\x00" in text:
        return "null_characters_not_allowed", NUL_REFUSAL
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return "surrogate_characters_not_allowed", SURROGATE_REFUSAL
    return None


def first_text_problem(attributes: dict[str, Any]) -> tuple[str, str, str] | None:
    """The name, the code and the remedy of the first attribute whose text no store takes."""
    for name, value in attributes.items():
        if value.__class__ is str and ("\x00" in value or not value.isascii()):
            problem = text_problem(value)
            if problem is not None:
                return name, *problem
    return None


def check_media_type(content_type: str) -> None:
    """Refuse a body that says it is not JSON. Raises RefusedError."""
    if content_type.partition(";")[0].strip().lower() not in _JSON_TYPES:
        raise RefusedError(415, f'Unsupported media type "{content_type}" in request. {SEND_JSON}')


def encoding_problem(content_encoding: str) -> str | None:
    """What is wrong with the `Content-Encoding` of a body that must be sent as it is; None where nothing is."""
    if content_encoding.strip().lower() in {"", "identity"}:
        return None
    return f"The body is compressed ({content_encoding!r}), which only events may be; send it as it is."


def read_json(content: bytes) -> Any:
    """The parsed body. Raises RefusedError with the code `parse_error`."""
    if not content:
        raise RefusedError(400, EMPTY, code=PARSE_ERROR)
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise RefusedError(400, f"The body is not valid JSON: {error}.", code=PARSE_ERROR) from error


def write_json(value: Any) -> bytes:
    """`orjson.dumps`, also for integers that 64 bits do not hold."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, separators=(",", ":")).encode()


def context_of(sent: Any, size: int) -> tuple[Context, list[FieldError]]:
    """The context of a body in our own form, and what is wrong with it. `size`: of the body in bytes."""
    if not isinstance(sent, dict):
        raise InvalidError((None, "invalid_type", "Send a JSON object."))
    user_id, attributes = sent.get("userId"), sent.get("attributes")
    if (
        (user_id is None or (user_id.__class__ is str and len(user_id) <= MAX_USER_ID_CHARACTERS))
        and (attributes is None or (attributes.__class__ is dict and len(attributes) <= MAX_ATTRIBUTES))
        and size <= _SURELY_SMALL_BYTES
        and sent.keys() <= _KNOWN
        and not (user_id and text_problem(user_id))
        and not (attributes and first_text_problem(attributes))
    ):
        return Context(user_id, attributes), []
    problems: list[FieldError] = [
        (name, "unknown_field", f"There is no field {name!r}; attributes go into `attributes`.")
        for name in sent
        if name not in _KNOWN
    ]
    if user_id is not None and not isinstance(user_id, str):
        problems.append(("userId", "invalid_type", "Send the user id as a string."))
        user_id = None
    if attributes is None:
        attributes = {}
    elif not isinstance(attributes, dict):
        problems.append(("attributes", "invalid_type", 'Send attributes as an object: {"country": "DE"}.'))
        attributes = {}
    problems += attribute_problems(user_id, attributes)
    return Context(user_id, attributes), problems


def attribute_problems(user_id: str | None, attributes: dict[str, Any]) -> list[FieldError]:
    """What exceeds the documented limits."""
    found: list[FieldError] = []
    if user_id and (problem := text_problem(user_id)):
        found.append(("userId", *problem))
    if text := first_text_problem(attributes):
        found.append((f"attributes.{text[0]}", *text[1:]))
    if user_id is not None and len(user_id) > MAX_USER_ID_CHARACTERS:
        found.append(("userId", "too_long", f"A user id has at most {MAX_USER_ID_CHARACTERS} characters."))
    if len(attributes) > MAX_ATTRIBUTES:
        detail = f"At most {MAX_ATTRIBUTES} attributes; send those rules use."
        found.append(("attributes", "too_many", detail))
    elif attributes and len(write_json(attributes)) > MAX_ATTRIBUTE_BYTES:
        found.append(("attributes", "too_large", "Attributes may take 32 KiB; send those that rules use."))
    return found


def ofrep_context_of(sent: Any, size: int) -> Context:
    """The context of a body in OFREP's form. Raises OfrepError."""
    if not isinstance(sent, dict):
        raise OfrepError("PARSE_ERROR", 'Send a JSON object: {"context": {"targetingKey": "user-1"}}.')
    context = sent.get("context")
    if context is None:
        context = {}
    if not isinstance(context, dict):
        raise OfrepError("INVALID_CONTEXT", "`context` must be an object.")
    targeting_key = context.pop("targetingKey", None)
    user_id = context.pop("userId", None) if targeting_key is None else targeting_key
    if user_id is not None and not isinstance(user_id, str):
        raise OfrepError("INVALID_CONTEXT", "`targetingKey` must be a string.")
    if (
        size > _SURELY_SMALL_BYTES
        or len(context) > MAX_ATTRIBUTES
        or (user_id and (len(user_id) > MAX_USER_ID_CHARACTERS or text_problem(user_id)))
        or first_text_problem(context)
    ):
        problems = attribute_problems(user_id, context)
        if problems:
            raise OfrepError("INVALID_CONTEXT", " ".join(detail for _, _, detail in problems))
    return Context(user_id, context)
