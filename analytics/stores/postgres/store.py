"""Events in PostgreSQL: COPY into their table, or into staging and then INSERT, leaving out what is there already.

The same transaction updates the derived tables: first exposures, hours and their sketches, sizes of cohorts.
"""

import threading
from collections import Counter
from datetime import UTC, timedelta
from typing import Any
from uuid import UUID

from django.db import DatabaseError, connection, transaction

from analytics.enrichment.enrichment import EnrichmentRules, current_revision
from analytics.event_records import Batch, ConversionEvent, ExposureEvent
from analytics.stores.base import Period, Stored
from analytics.stores.distributions import Distributed, Distribution
from analytics.stores.pairs import Breakdown, Pairing, PairSummary, Segments
from analytics.stores.postgres import write_statements as sql
from analytics.stores.postgres.event_copy import (
    Row,
    Shortcut,
    conversion_rows,
    exposure_rows,
    id_of,
    stage,
)
from analytics.stores.postgres.flags import PostgresFlags
from analytics.stores.postgres.fresh_statistics import FreshStatistics, analyze
from analytics.stores.postgres.partitions import PARTITIONS
from analytics.stores.postgres.reads import PostgresReads
from analytics.stores.postgres.retention import PostgresRetention
from analytics.stores.postgres.rewrites import PostgresRewrites
from analytics.stores.postgres.rollups import distributions, pairs, segments
from analytics.stores.postgres.rollups.flag_sketches import SketchKey, add_units
from analytics.stores.postgres.rows import PostgresRows
from analytics.stores.postgres.unit_states import (
    DAY_MS,
    EPOCH,
    Changes,
    ExperimentKey,
    FlagKey,
    Remembered,
    UnitState,
    unit_of,
)
from analytics.stores.protocols import Aggregate, EventStore

# About 100 bytes a unit: 50 MB at most in an ingest process.
_REMEMBERED_UNITS = 250_000


class PostgresStore(PostgresReads, PostgresFlags, PostgresRows, PostgresRewrites, PostgresRetention, EventStore):
    """The default store; uses Django's connection of the calling thread."""

    def __init__(self) -> None:
        self._experiments: Remembered[ExperimentKey, UnitState] = Remembered(_REMEMBERED_UNITS)
        self._flags: Remembered[FlagKey, int] = Remembered(_REMEMBERED_UNITS)
        self._experiment_flags: set[tuple[int, str, str]] = set()
        self._phases: dict[tuple[int, str], list[int]] = {}
        self._revision: int | None = None
        self._rules = EnrichmentRules()
        self._new_exposures = Shortcut("exposures", sql.STAGED_EXPOSURES, id_of)
        self._new_conversions = Shortcut("conversions", sql.STAGED_CONVERSIONS, id_of)
        self._new_units = Shortcut("first_exposures", sql.STAGED_UNITS, unit_of)
        self._statistics = FreshStatistics()
        # Guards what is remembered, not the database. Threads store at the same time, each on its own connection.
        self._lock = threading.Lock()

    def write(self, batch: Batch) -> Stored:
        exposures, conversions = batch.exposures, batch.conversions
        # Whether the order of ids is that of the partitions.
        exposures_align = PARTITIONS.ensure_for("exposures", (event.evaluation_id for event in exposures))
        conversions_align = PARTITIONS.ensure_for("conversions", (event.event_id for event in conversions))
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(sql.SHARE_DERIVED)
                with self._lock:
                    self._look_for_rewrites(cursor)
                stored = Stored(
                    self._write_exposures(cursor, exposures, aligned=exposures_align) if exposures else 0,
                    self._write_conversions(cursor, conversions, aligned=conversions_align) if conversions else 0,
                )
                # The batch is stored by then, and must not be taken for failed.
                transaction.on_commit(lambda: self._renew_statistics(batch), robust=True)
                return stored
        except DatabaseError:
            # The server may come back older than what is remembered of it.
            self.forget()
            raise

    def forget(self) -> None:
        """Forget what is remembered of the tables. It is read again as events come."""
        with self._lock:
            self._forget()

    def pair_summary(self, period: Period, pairing: Pairing) -> dict[str, PairSummary]:
        return pairs.pair_summary(period, pairing)

    def segment_summary(self, period: Period, breakdown: Breakdown) -> Segments:
        return segments.segment_summary(period, breakdown)

    def distribution(self, period: Period, distribution: Distribution) -> dict[str, Distributed]:
        return distributions.distribution(period, distribution)

    def refresh_rollups(self, period: Period, aggregate: Aggregate) -> int:
        if isinstance(aggregate, Distribution):
            return distributions.refresh_distribution(period, aggregate)
        if isinstance(aggregate, Breakdown):
            return segments.refresh_segments(period, aggregate)
        return pairs.refresh_pairs(period, aggregate)

    def _renew_statistics(self, batch: Batch) -> None:
        if due := self._statistics.tables_due(batch.exposures, batch.conversions):
            analyze(due)

    def _forget(self) -> None:
        self._experiments.clear()
        self._flags.clear()
        self._experiment_flags.clear()
        self._revision = None
        PARTITIONS.forget()
        self._new_exposures.reopen()
        self._new_conversions.reopen()
        self._new_units.reopen()

    def _write_exposures(self, cursor: Any, events: list[ExposureEvent], *, aligned: bool) -> int:
        flagged = self._rules.exposures(events)
        rows = exposure_rows(flagged)
        counts: list[Row] = []
        is_copied = aligned and self._new_exposures.copy(cursor, rows)
        if not is_copied:
            stage(cursor, sql.STAGED_EXPOSURES, rows)
            cursor.execute(sql.INSERT_EXPOSURES)
            counts = cursor.fetchall()
        new = len(rows) if is_copied else sum(exposures + bots for *_, exposures, bots in counts)
        if new < len(rows):
            flagged = _without_contradictions(cursor, flagged)
        with self._lock:
            revision = self._revision
            changes = Changes(self._experiments, self._flags, self._phases)
            changes.take(flagged)
        if is_copied:
            counts = changes.hour_counts()
        cohorts = self._write_units(cursor, changes) if changes.units else []
        # Counters that every process writes come last, because their locks are held until the commit.
        if cohorts:
            cursor.execute(sql.COUNT_COHORTS, _columns(cohorts))
            cursor.execute(sql.COUNT_SIZES, _columns(cohorts))
        if counts:
            cursor.execute(sql.COUNT_HOURS, _columns(counts))
            add_units(cursor, _events_of(counts), changes.units_by_hour())
        if new_flags := changes.experiment_flags - self._experiment_flags:
            cursor.execute(sql.NAME_FLAGS, _columns(sorted(new_flags)))
        transaction.on_commit(lambda: self._remember(changes, revision))
        return new

    def _write_units(self, cursor: Any, changes: Changes) -> list[Row]:
        """Store what is new about units, and return the cohorts that changed by it."""
        rows = changes.unit_rows()
        if not changes.is_any_unit_known() and self._new_units.copy(cursor, rows):
            return changes.cohort_steps()
        stage(cursor, sql.STAGED_UNITS, rows)
        cursor.execute(sql.MERGE_UNITS)
        return list(cursor.fetchall())

    def _remember(self, changes: Changes, revision: int | None) -> None:
        with self._lock:
            # A rewrite may have come between the commit and this moment. Another thread has noticed it then.
            if revision == self._revision:
                changes.commit()
                self._experiment_flags |= changes.experiment_flags

    def _look_for_rewrites(self, cursor: Any) -> None:
        """Read what a rewrite since the last batch has changed. While the shared lock is held, no rewrite can begin."""
        revision = current_revision()
        if revision == self._revision:
            return
        self._forget()
        cursor.execute(sql.PHASES)
        self._phases = {(environment_id, experiment): list(starts) for environment_id, experiment, starts in cursor}
        self._rules = EnrichmentRules.load()
        self._revision = revision

    def _write_conversions(self, cursor: Any, events: list[ConversionEvent], *, aligned: bool) -> int:
        rows = conversion_rows(self._rules.conversions(events))
        if aligned and self._new_conversions.copy(cursor, rows):
            counts = _day_counts(events)
        else:
            stage(cursor, sql.STAGED_CONVERSIONS, rows)
            cursor.execute(sql.INSERT_CONVERSIONS)
            counts = cursor.fetchall()
        if counts:
            cursor.execute(sql.COUNT_CONVERSION_DAYS, _columns(counts))
        return sum(new for *_, new in counts)


def _columns(rows: list[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _without_contradictions(cursor: Any, flagged: list[tuple[ExposureEvent, bool]]) -> list[tuple[ExposureEvent, bool]]:
    """Leave out events whose id is stored with other content: the first copy counts. Equal copies stay."""
    cursor.execute(sql.CONTRADICTIONS)
    refused = {(UUID(str(event_id)), environment_id, *rest) for event_id, environment_id, *rest in cursor.fetchall()}
    if not refused:
        return flagged
    return [(event, bot) for event, bot in flagged if (*_content(event), bot) not in refused]


def _content(event: ExposureEvent) -> tuple[Any, ...]:
    """Return what derived tables are made of, in the order of sql.CONTRADICTIONS."""
    return (
        *(event.evaluation_id, event.environment_id, event.flag_key, event.unit_id, event.variant, event.experiment),
        event.occurred_ms,
    )


def _events_of(counts: list[Row]) -> dict[SketchKey, int]:
    """Return the number of exposures by hour and variant, bots' too."""
    found: dict[SketchKey, int] = {}
    for environment_id, flag_key, hour, variant, _, exposures, bots in counts:
        key = (environment_id, flag_key, hour.astimezone(UTC), variant)
        found[key] = found.get(key, 0) + exposures + bots
    return found


def _day_counts(events: list[ConversionEvent]) -> list[Row]:
    """Return rows as sql.INSERT_CONVERSIONS does."""
    counts = Counter((event.environment_id, event.event_name, event.occurred_ms // DAY_MS) for event in events)
    return [
        (environment_id, event_name, (EPOCH + timedelta(days=day)).date(), count)
        for (environment_id, event_name, day), count in counts.items()
    ]
