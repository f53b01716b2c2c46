"""What is warned of: a split that is not kept, a value that looks personal, a large configuration; and where."""

import pytest
from django.urls import reverse
from django.utils import timezone
from openflagship.ids import uuid7
from structlog.testing import capture_logs

from analytics.event_records import Batch, ExposureEvent
from analytics.services import store_events
from experiments import tasks
from flags import services
from flags.propagation import snapshots
from flags.propagation.runtime import RUNTIME
from flagship.console.health import cautions
from tenancy.privacy.personal_values import personal_data
from tenancy.testing import ALICE


def _made(acme, key, **payload):
    content = {"key": key, "enabled": True, **payload}
    return services.create_flag(actor=ALICE, environment=acme.production, payload=content)[0]


def _seen(config, counts):
    # After the flag was made: what was promised before is not held against it.
    moment = int(timezone.now().timestamp() * 1000) + 1
    rows = [
        ExposureEvent(
            evaluation_id=uuid7(moment), environment_id=config.environment_id, flag_key=config.flag.key,
            unit_id=f"{variant}-{number}", variant=variant, reason="ROLLOUT", rule_id=None, experiment=None,
            config_version=1, occurred_ms=moment, received_ms=moment, source="test", attributes=None,
        )
        for variant, count in counts.items()
        for number in range(count)
    ]  # fmt: skip
    store_events(Batch(rows, []))


def _line(acme, anchor):
    (line,) = [line for line in cautions.cautions(acme.production) if line.anchor == anchor]
    return line


def test_split__more_than_five_percent_off__is_logged_and_shown_on_health_and_beside_the_chart(acme, console_viewer):
    half = [{"variant": "treatment", "percent": 50}]
    kept, off, few = (_made(acme, key, rollout=half) for key in ("kept", "off", "few"))
    _seen(kept, {"control": 400, "treatment": 402})
    _seen(off, {"control": 400, "treatment": 250})
    _seen(few, {"control": 6, "treatment": 3})

    with capture_logs() as logs:
        assert tasks.watch_splits_of(acme.production.pk) == 1

    (warned,) = [entry for entry in logs if entry["event"] == "flag_split_deviates"]
    assert (warned["log_level"], warned["flag"], warned["deviation"]) == ("warning", "off", 0.2308)
    line = _line(acme, "splits")
    assert (line.tone, line.value, line.note) == ("warn", "1 flag", "off: 23% off")
    for config, is_warned in ((off, True), (kept, False)):
        page = console_viewer.get(reverse("admin:flags_flagconfig_exposures", args=[config.pk])).text
        assert ("23.08 % more or fewer users" in page) is is_warned


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({"to": ["Ann <ann.lee@mail.example.com>"]}, "an e-mail address"),
        ("+49 170 1234567", "a phone number"),
        ("DE89 3704 0044 0532 0130 00", "a bank account"),
        ("123-45-6789", "a social security number"),
        ({"card": "4111 1111 1111 1111"}, "a card number"),
        (["@handle", "v1.2.3", "2026-01-05T09:00:00Z", "0000000000000000", "1234567890123456", "user@host"], ""),
        (4111111111111111, ""),
    ],
)
def test_value__that_looks_personal__is_known_by_its_kind(value, kind):
    assert personal_data(value) == kind


def test_personal_value__is_logged_and_shown_beside_the_field_and_on_health(acme, console_editor):
    variants = [{"key": "a", "value": {"support": "ann.lee@example.com"}}, {"key": "b", "value": {}}]
    with capture_logs() as logs:
        config = _made(acme, "contact", type="json", variants=variants)

    (warned,) = [entry for entry in logs if entry["event"] == "flag_value_personal"]
    assert (warned["log_level"], warned["variant"], warned["looks_like"]) == ("warning", "a", "an e-mail address")
    assert "ann.lee" not in str(warned)
    page = console_editor.get(reverse("admin:flags_flagconfig_change", args=[config.pk])).text
    assert page.count("This value looks like an e-mail address") == 1
    assert (_line(acme, "personal").tone, _line(acme, "personal").note) == ("warn", "contact: an e-mail address")


def test_configuration__that_is_large__is_warned_of_on_health(acme, monkeypatch):
    _made(acme, "a")
    RUNTIME.refresh()
    assert _line(acme, "size").tone == "good"

    monkeypatch.setattr(cautions, "LARGE_BYTES", 100)
    assert (_line(acme, "size").tone, snapshots.LARGE_BYTES) == ("warn", 5 * 1024 * 1024)
