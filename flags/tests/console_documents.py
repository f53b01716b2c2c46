"""What the script of an editor's page sends: the document as JSON, and what the page was opened with."""

import json
from typing import Any

from django.test import Client
from django.urls import reverse

from flags.models import FlagConfig
from tenancy.console_kit.documents import DocumentEdit


def change_url(config: FlagConfig) -> str:
    return reverse("admin:flags_flagconfig_change", args=[config.pk])


def sent_by(edit: DocumentEdit, document: dict[str, Any], **others: str) -> dict[str, str]:
    """A page's fields: its hidden ones as it was opened, `document` in the place of what its fields hold."""
    hidden = {"version": str(edit.version), "base": edit.base_text} if edit.base is not None else {}
    return {**hidden, "document": json.dumps(document, default=str), **others}


def fields(client: Client, config: FlagConfig, *, reason: str = "", **changes: Any) -> dict[str, str]:
    """What a browser would send back from the flag's page, with some parts of the document changed."""
    edit: DocumentEdit = client.get(change_url(config)).context["edit"]
    return sent_by(edit, {**edit.document, **changes}, reason=reason)


def shares(**percents: float) -> list[dict[str, Any]]:
    return [{"variant": variant, "percent": percent} for variant, percent in percents.items()]
