"""Reading the log: the rows about one thing, with the acts on what belongs to it."""

from django.db.models import Q, QuerySet

from audit.models import Entry


def rows_about(rows: QuerySet[Entry], entity: str, key: str) -> QuerySet[Entry]:
    """Return those of `rows` that are about one thing: its own, and those of what names it in its documents.

    An experiment's document has a `flagKey`. So all acts on the experiment are part of the flag's history, also those
    whose payload does not name the flag.
    """
    named = {f"{entity}Key": key}
    naming = rows.filter(Q(after__contains=named) | Q(before__contains=named)).exclude(entity_type=entity)
    # No app has more than one kind of thing that names another.
    kinds = naming.order_by().values("entity_type")
    keys = naming.order_by().values("entity_key")
    own = Q(entity_type=entity, entity_key=key)
    return rows.filter(own | Q(entity_type__in=kinds, entity_key__in=keys))
