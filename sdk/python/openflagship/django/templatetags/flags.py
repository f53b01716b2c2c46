"""`{% load flags %}{% flag "new-checkout" as is_new %}{% if is_new %}…{% endif %}`."""

from __future__ import annotations

from typing import Any

from django import template
from django.template.context import Context

register = template.Library()


@register.simple_tag(takes_context=True)
def flag(context: Context, flag_key: str, default: Any = False) -> Any:
    """The flag's value for the request's user; the default without a request or its middleware."""
    request = context.get("request")
    flags = getattr(request, "flags", None)
    return default if flags is None else flags.variation(flag_key, default)
