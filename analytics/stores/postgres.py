"""Events in PostgreSQL: binary COPY into staging, then one INSERT that leaves out what is there already.

In the same transaction the derived tables are kept up: first exposures, hours, units.
"""

import threading
from collections.abc import Iterable
from typing import Any
from uuid import UUID

import msgspec
from django.db import DatabaseError, connection, transaction

from analytics.events import Batch, Conversion, Exposure
from analytics.intake import Intake, current_revision
from analytics.partitions import PARTITIONS
from analytics.stores import postgres_sql as sql
from analytics.stores.base import Stored
from analytics.stores.postgres_cohorts import PostgresCohorts
from analytics.stores.postgres_distributions import PostgresDistributions
from analytics.stores.postgres_flag_days import PostgresFlagDays
from analytics.stores.postgres_pairs import PostgresPairs
from analytics.stores.postgres_retention import PostgresRetention
from analytics.stores.postgres_rewrites import PostgresRewrites
from analytics.stores.postgres_rows import PostgresRows
from analytics.stores.postgres_segments import PostgresSegments
from analytics.stores.unit_states import Changes, ExperimentKey, FlagKey, Remembered, UnitState

# About 100 bytes a unit: 50 MB at most in an ingest process.
_REMEMBERED_UNITS = 250_000


class PostgresStore(
    PostgresCohorts,
    PostgresPairs,
    PostgresDistributions,
    PostgresSegments,
    PostgresFlagDays,
    PostgresRows,
    PostgresRewrites,
    PostgresRetention,
):
    """The default store; uses Django's connection of the calling thread."""

    def __init__(self) -> None:
        self._experiments: Remembered[ExperimentKey, UnitState] = Remembered(_REMEMBERED_UNITS)
        self._flags: Remembered[FlagKey, int] = Remembered(_REMEMBERED_UNITS)
        self._experiment_flags: set[tuple[int, str, str]] = set()
        self._phases: dict[tuple[int, str], list[int]] = {}
        self._revision: int | None = None
        self._intake = Intake()
        # Guards what is remembered, not the database: threads store at the same time, each on its own connection.
        self._lock = threading.Lock()

    def write(self, batch: Batch) -> Stored:
        PARTITIONS.ensure_for("exposures", (event.evaluation_id for event in batch.exposures))
        PARTITIONS.ensure_for("conversions", (event.event_id for event in batch.conversions))
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(sql.SHARE_DERIVED)
                with self._lock:
                    self._look_for_rewrites(cursor)
                return Stored(
                    exposures=self._write_exposures(cursor, batch.exposures) if batch.exposures else 0,
                    conversions=self._write_conversions(cursor, batch.conversions) if batch.conversions else 0,
                )
        except DatabaseError:
            # The server may come back older than what is remembered of it.
            self.forget()
            raise

    def forget(self) -> None:
        """Forget what is remembered of the tables; it is found out again as events come."""
        with self._lock:
            self._forget()

    def _forget(self) -> None:
        self._experiments.clear()
        self._flags.clear()
        self._experiment_flags.clear()
        self._revision = None
        PARTITIONS.forget()

    def _write_exposures(self, cursor: Any, events: list[Exposure]) -> int:
        flagged = self._intake.exposures(events)
        _stage(cursor, sql.STAGED_EXPOSURES, ((*msgspec.structs.astuple(event), bot) for event, bot in flagged))
        cursor.execute(sql.INSERT_EXPOSURES)
        counts = cursor.fetchall()
        new = sum(exposures + bots for *_, exposures, bots in counts)
        if new < len(events):
            flagged = _without_contradictions(cursor, flagged)
        with self._lock:
            revision = self._revision
            changes = Changes(self._experiments, self._flags, self._phases)
            changes.take(flagged)
        cohorts: list[tuple[Any, ...]] = []
        if changes.units:
            _stage(cursor, sql.STAGED_UNITS, changes.unit_rows())
            cursor.execute(sql.MERGE_UNITS)
            cohorts = cursor.fetchall()
        # Counters that every process writes to come last: their locks are held until the commit.
        if changes.last_hours:
            _stage(cursor, sql.STAGED_HOURS, changes.hour_rows())
            cursor.execute(sql.MERGE_LAST_HOURS)
        if cohorts:
            cursor.execute(sql.COUNT_COHORTS, _columns(cohorts))
            cursor.execute(sql.COUNT_SIZES, _columns(cohorts))
        if counts:
            cursor.execute(sql.COUNT_HOURS, _columns(counts))
        if new_flags := changes.experiment_flags - self._experiment_flags:
            cursor.execute(sql.NAME_FLAGS, _columns(sorted(new_flags)))
        transaction.on_commit(lambda: self._remember(changes, revision))
        return new

    def _remember(self, changes: Changes, revision: int | None) -> None:
        with self._lock:
            # A rewrite may have come between the commit and this moment; another thread has noticed it already.
            if revision == self._revision:
                changes.commit()
                self._experiment_flags |= changes.experiment_flags

    def _look_for_rewrites(self, cursor: Any) -> None:
        """Once the shared lock is held no rewrite can begin; one that happened since the last batch shows here."""
        revision = current_revision()
        if revision == self._revision:
            return
        self._forget()
        cursor.execute(sql.PHASES)
        self._phases = {(environment_id, experiment): list(starts) for environment_id, experiment, starts in cursor}
        self._intake = Intake.load()
        self._revision = revision

    def _write_conversions(self, cursor: Any, events: list[Conversion]) -> int:
        rows = ((*msgspec.structs.astuple(event), bot) for event, bot in self._intake.conversions(events))
        _stage(cursor, sql.STAGED_CONVERSIONS, rows)
        cursor.execute(sql.INSERT_CONVERSIONS)
        counts = cursor.fetchall()
        if counts:
            cursor.execute(sql.COUNT_CONVERSION_DAYS, _columns(counts))
        return sum(new for *_, new in counts)


def _columns(rows: list[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _without_contradictions(cursor: Any, flagged: list[tuple[Exposure, bool]]) -> list[tuple[Exposure, bool]]:
    """Leave out events whose id was stored with other content: the first copy counts. Equal copies change nothing."""
    cursor.execute(sql.CONTRADICTIONS)
    refused = {(UUID(str(event_id)), environment_id, *rest) for event_id, environment_id, *rest in cursor.fetchall()}
    if not refused:
        return flagged
    return [(event, bot) for event, bot in flagged if (*_content(event), bot) not in refused]


def _content(event: Exposure) -> tuple[Any, ...]:
    """What derived tables are made of, in the order of sql.CONTRADICTIONS."""
    return (
        *(event.evaluation_id, event.environment_id, event.flag_key, event.unit_id, event.variant, event.experiment),
        event.occurred_ms,
    )


def _stage(cursor: Any, staging: sql.Staging, rows: Iterable[tuple[Any, ...]]) -> None:
    # Empty already unless the caller stores twice in one transaction. Together, since each answer costs a turn.
    cursor.execute(f"{staging.create}; DELETE FROM {staging.table}")  # noqa: S608 - the name is ours
    # Django wraps execute() alone; what COPY raises must look the same to whoever tells poison from an outage.
    with connection.wrap_database_errors, cursor.copy(f"COPY {staging.table} FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types(staging.types)
        for row in rows:
            copy.write_row(row)
