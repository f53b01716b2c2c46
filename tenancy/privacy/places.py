"""What tenancy itself knows of a person: the audit log, and answers kept for repeated requests."""

import json
from collections.abc import Iterator
from typing import Any

from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast

from audit.actors import Actor
from audit.documents import entry_resource
from audit.models import Entry
from tenancy.models import Organization
from tenancy.privacy.people import Found, Person

_AUDIT_STAYS = (
    "Each row is sealed with a keyed hash, and the next row builds on it. Without a row, or with another content, the "
    "chain would prove nothing. Rows that this job wrote have a keyed hash in place of the id."
)
_ANSWERS_STAY = "Answers that are kept for a repeated Idempotency-Key go within 24 hours."


def containing(rows: QuerySet[Any], person: Person, *fields: str) -> QuerySet[Any]:
    """Those of the rows that have the id somewhere in a field of JSON."""
    quoted = json.dumps(person.id, ensure_ascii=False)
    found = Q()
    for field in fields:
        rows = rows.annotate(**{f"{field}_text": Cast(field, TextField())})
        found |= Q(**{f"{field}_text__contains": quoted})
    return rows.filter(found)


class AuditPlace:
    """Rows of the audit log with the id in what they say was before or after."""

    is_per_environment = False

    def read(self, person: Person, scope: Organization) -> Iterator[dict[str, Any]]:
        for entry in self._rows(person, scope).order_by("id").iterator(chunk_size=500):
            yield {"place": "audit", **entry_resource(entry)}

    def erase(self, person: Person, scope: Organization, actor: Actor) -> list[Found]:  # noqa: ARG002 - as the protocol
        count = self._rows(person, scope).count()
        return [
            *([Found("audit", count, _AUDIT_STAYS)] if count else []),
            Found("answers to repeated requests", 0, _ANSWERS_STAY),
        ]

    def _rows(self, person: Person, organization: Organization) -> QuerySet[Entry]:
        return containing(Entry.objects.filter(organization_id=organization.pk), person, "before", "after")
