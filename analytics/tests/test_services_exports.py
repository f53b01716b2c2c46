"""Events as Parquet: what is read back is what was stored, from either store, and nobody else's."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pyarrow import parquet

from analytics.event_records import Batch
from analytics.services import exports, store_events
from analytics.stores.protocols import EventStore
from analytics.tests.conftest import NOON, conversion, exposure, milliseconds
from audit.models import Entry
from tenancy.models import Environment

DAY = timedelta(days=1)
PLACE = "acme/shop/production"


def _read(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
    return rows


def test_exposures__exported__read_back_as_they_were_stored(
    any_store: EventStore, environment: Environment, other_environment: Environment, tmp_path: Path
) -> None:
    odd = exposure(
        environment.pk,
        'it\'s "\U0001f600"',
        "control",
        experiment=None,
        rule_id="r",
        attributes='{"plan": "pro"}',
        is_prefetched=True,
    )
    bot = exposure(environment.pk, "bot-1", "treatment", NOON + timedelta(milliseconds=1), user_agent="Googlebot")
    store_events(Batch([odd, bot, exposure(other_environment.pk, "alice", "control")]))
    path = tmp_path / "exposures.parquet"
    call_command("export_events", "exposures", path, environment=PLACE)
    first, second = sorted(_read(path), key=lambda row: row["occurred_at"])
    assert first == {
        "evaluation_id": str(odd.evaluation_id),
        "environment_id": environment.pk,
        "flag_key": "new-checkout",
        "unit_id": 'it\'s "\U0001f600"',
        "variant": "control",
        "reason": "SPLIT",
        "rule_id": "r",
        "experiment": None,
        "config_version": 1,
        "occurred_at": NOON,
        "received_at": NOON,
        "source": "api",
        "user_agent": None,
        "attributes": '{"plan": "pro"}',
        "is_prefetched": True,
        "is_bot": False,
    }
    assert (second["unit_id"], second["is_bot"], second["user_agent"]) == ("bot-1", True, "Googlebot")
    assert second["is_prefetched"] is False
    assert second["occurred_at"] == NOON + timedelta(milliseconds=1)


def test_conversions__of_some_days__come_in_groups_with_exact_values(
    any_store: EventStore, environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "_ROWS_AT_A_TIME", 2)
    events = [conversion(environment.pk, f"user-{day}", NOON + day * DAY, value=0.1 + 0.2 + day) for day in range(7)]
    store_events(Batch([], events))
    path = tmp_path / "conversions.parquet"
    since, until = NOON + DAY, (NOON + 6 * DAY)
    call_command("export_events", "conversions", path, environment=PLACE, since=since, until=until)
    assert sorted((row["event_id"], row["value"]) for row in _read(path)) == sorted(
        (str(event.event_id), event.value) for event in events[1:6]
    )
    assert parquet.ParquetFile(path).num_row_groups == 3
    entry = Entry.objects.get(action="events.exported")
    assert entry.after == {"rows": 5, "since": since.isoformat(), "until": until.isoformat()}


def test_received__in_an_hour__is_told_by_the_hours_in_which_it_happened(
    any_store: EventStore, environment: Environment, other_environment: Environment
) -> None:
    hour, late = timedelta(hours=1), milliseconds(NOON)
    store_events(
        Batch(
            [
                exposure(environment.pk, "now", "control"),
                exposure(environment.pk, "late", "control", NOON - 2 * hour, received_ms=late),
                exposure(environment.pk, "next", "control", NOON - 2 * hour, received_ms=late + 3_600_000),
                exposure(other_environment.pk, "other", "control", NOON + hour / 2),
            ]
        )
    )
    noon = late // 3_600_000
    received = (NOON, NOON + hour)
    assert any_store.received_hours("exposures", *received) == [
        (environment.pk, noon - 2, 1),
        (environment.pk, noon, 1),
        (other_environment.pk, noon, 1),
    ]
    assert any_store.received_hours("conversions", *received) == []
    rows = any_store.raw_rows("exposures", environment.pk, NOON - 2 * hour, NOON - hour, received=received)
    assert [row[3] for row in rows] == ["late"]


def test_export__that_fails_on_the_way__leaves_no_file(
    environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_events(Batch([exposure(environment.pk, "alice", "control")]))

    def fail(*_arguments: Any) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(exports, "_table", fail)
    with pytest.raises(CommandError, match="the disk is full"):
        call_command("export_events", "exposures", tmp_path / "x.parquet", environment=PLACE)
    assert list(tmp_path.iterdir()) == []
    assert not Entry.objects.filter(action="events.exported").exists()


@pytest.mark.parametrize("place", ["acme/shop", "acme/shop/staging"])
def test_export__of_no_environment__says_so(environment: Environment, tmp_path: Path, place: str) -> None:
    with pytest.raises(CommandError, match="environment"):
        call_command("export_events", "exposures", tmp_path / "x.parquet", environment=place)
