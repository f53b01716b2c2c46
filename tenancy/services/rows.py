"""Checks, inserts, changes and deletes a row of tenancy. Each refusal names the field, or what uses the row."""

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, models, transaction
from django.db.models import ProtectedError

from tenancy.errors import Conflict, Invalid, Problem
from tenancy.refusals import unknown_field


def clean(instance: models.Model) -> None:
    """Run `full_clean`, and raise Invalid with the problems it finds, by field."""
    try:
        instance.full_clean(validate_unique=False, validate_constraints=False)
    except ValidationError as error:
        problems = [
            Problem(camel(field), found.code or "invalid", " ".join(found.messages))
            for field, errors in error.error_dict.items()
            for found in errors
        ]
        raise Invalid(problems) from error


def camel(field: str) -> str:
    first, *rest = field.split("_")
    return first + "".join(part.title() for part in rest)


def insert(instance: models.Model, *, key: str, noun: str, attr: str = "key") -> None:
    """Check and insert a row. Raises Invalid, or Conflict `key_exists`."""
    clean(instance)
    try:
        with transaction.atomic():
            instance.save(force_insert=True)
    except IntegrityError as error:
        raise Conflict(f"There is already {noun} with the {attr} {key!r}.", code="key_exists", attr=attr) from error


def apply(instance: models.Model, payload: Mapping[str, Any], fields: Mapping[str, str], *, fixed: str) -> None:
    """Set the payload's fields on the row, count its version up and check it.

    `fields` maps the API's names to the model's. The field `fixed` and every unknown one are refused by name.
    """
    problems: list[Problem] = []
    for name, value in payload.items():
        if name in fields:
            setattr(instance, fields[name], value)
        elif name == fixed:
            if value != getattr(instance, name):
                problems.append(Problem(name, "immutable", f"The {name} never changes; create another one."))
        elif name not in {"version", "createdAt", "salt", "configVersion", "organization", "project"}:
            problems.append(Problem(name, "unknown_field", unknown_field(name)))
    if problems:
        raise Invalid(problems)
    instance.version += 1  # type: ignore[attr-defined]  # every model that comes here has one
    clean(instance)


def delete(instance: models.Model, *, noun: str) -> None:
    """Delete a row. Raises Conflict `in_use` naming what uses it."""
    try:
        with transaction.atomic():
            instance.delete()
    except ProtectedError as error:
        users = sorted({f"{row._meta.verbose_name} {row}" for row in error.protected_objects})  # noqa: SLF001 - Django's documented API
        shown = ", ".join(users[:20]) + (f" and {len(users) - 20} more" if len(users) > 20 else "")
        raise Conflict(f"The {noun} is still used by: {shown}. Take those away first.", code="in_use") from error
