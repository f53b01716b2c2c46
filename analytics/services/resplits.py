"""Splits an environment's users anew, for analyses that check themselves; nothing of it outlives the transaction."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime

from analytics.stores import store
from analytics.stores.base import Period
from analytics.stores.postgres import resplit
from analytics.stores.postgres.store import PostgresStore
from tenancy.errors import Invalid


def resplit_units(period: Period, units: Sequence[tuple[str, datetime]]) -> AbstractContextManager[None]:
    """Within it, the period's experiment has these units. Raises Invalid where events are not in PostgreSQL."""
    if not isinstance(store(), PostgresStore):
        raise Invalid(
            "Users are split anew in PostgreSQL's tables, and events are in ClickHouse here. Check an installation "
            "with its events in PostgreSQL: both stores give the same figures to the digit.",
            code="not_applicable",
        )
    return resplit.resplit_units(period, units)


def deal(variants: Iterable[tuple[str, str]]) -> None:
    """Give each unit a variant, within `resplit_units`."""
    resplit.deal(variants)
