"""Reading the log: the rows about one thing, with the acts on what belongs to it."""

from django.db.models import Exists, OuterRef, Q, QuerySet

from audit.actions import kinds_naming
from audit.models import Entry

_SAME = ("organization_id", "project", "environment", "entity_type", "entity_key")


def rows_about(rows: QuerySet[Entry], entity: str, key: str) -> QuerySet[Entry]:
    """Return those of `rows` that are about one thing: its own, and those of what names it in its documents.

    An experiment's document has a `flagKey`. So all acts on the experiment are part of the flag's history, also those
    whose payload does not name the flag.
    """
    named = {f"{entity}Key": key}
    naming = Entry.objects.filter(Q(after__contains=named) | Q(before__contains=named))
    same = naming.filter(**{field: OuterRef(field) for field in _SAME})
    return rows.filter(
        Q(entity_type=entity, entity_key=key) | Q(Exists(same), entity_type__in=sorted(kinds_naming(entity)))
    )
