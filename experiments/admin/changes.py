"""What a page was filled with when it was opened, sent back with the form, so that only this person's changes count."""

import json
from collections.abc import Mapping
from typing import Any

from django.http import QueryDict


def base_of(post: QueryDict, fallback: dict[str, Any]) -> dict[str, Any]:
    try:
        base = json.loads(post.get("base", ""))
    except ValueError:
        return fallback
    return base if isinstance(base, dict) else fallback


def changes_in(payload: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in payload.items() if value != base.get(name)}
