"""A document that was sent, checked by its serializer; the API and the console's editors share this check.

Problems come back by path, in the words of the services: `rules[0].priority`.
"""

from collections.abc import Iterator
from typing import Any

from rest_framework.exceptions import ValidationError
from rest_framework.serializers import Serializer
from rest_framework.settings import api_settings

from tenancy.errors import Invalid, Problem
from tenancy.refusals import instant_problems, refuse_if_any, value_problems

# DRF's codes, translated to the API's.
_CODES = {"null": "required"}


def checked(serializer: type[Serializer[Any]], data: Any, *, is_partial: bool = False) -> dict[str, Any]:
    """Check the form of a document and return what was sent, field by field and nothing added.

    Fields that the serializer does not know are kept, so that the service can refuse them by name. Raises Invalid.
    """
    if not isinstance(data, dict):
        raise Invalid("Send a JSON object.", code="invalid_type")
    unchecked = getattr(serializer, "numbers_unchecked", ())
    refuse_if_any(value_problems(data, numbers_unchecked=unchecked))
    reader = serializer(data=data, partial=is_partial)
    try:
        reader.is_valid(raise_exception=True)
    except ValidationError as error:
        raise Invalid(list(_problems(error.detail))) from error
    found: dict[str, Any] = _plain(reader.validated_data)
    refuse_if_any([problem for path, value in _leaves(found) for problem in instant_problems(path, value)])
    return {**data, **found}


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _leaves(item, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _leaves(item, f"{path}[{index}]")
    else:
        yield path, value


def _problems(detail: Any, path: str = "") -> Iterator[Problem]:
    """One problem for each message of a serializer, with the path of its field."""
    if isinstance(detail, dict):
        for name, inner in detail.items():
            if isinstance(name, int):
                yield from _problems(inner, f"{path}[{name}]")
            elif name == api_settings.NON_FIELD_ERRORS_KEY:
                yield from _problems(inner, path)
            else:
                yield from _problems(inner, f"{path}.{name}" if path else str(name))
    elif isinstance(detail, list):
        for index, inner in enumerate(detail):
            yield from _problems(inner, f"{path}[{index}]" if isinstance(inner, (dict, list)) else path)
    else:
        yield Problem(path or None, _CODES.get(detail.code, detail.code), str(detail))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value
