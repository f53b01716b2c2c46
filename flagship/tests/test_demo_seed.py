"""The demo's figures, that seeding again changes nothing, and that nothing in it contradicts the engine."""

import itertools
import json

import pytest
from django.conf import settings
from django.core.management import call_command
from openflagship.engine import Context

from analytics.models import Conversion, Exposure
from audit.chain import verify
from audit.models import Entry
from experiments.analysis import results_for
from experiments.models import Alarm, Experiment, ExperimentResult
from experiments.selectors import get_experiment
from flags.models import Change, FlagConfig
from flags.propagation.runtime import load_environment
from flagship.demo import access
from flagship.demo.plan import ANOMALOUS_DAY, USERS_BY_DAY
from tenancy import credentials
from tenancy.models import Credential, Environment, Organization, User

pytestmark = pytest.mark.django_db


@pytest.fixture
def seed(settings, tmp_path):
    """Seed into a var/ of the test's own; returns what demo.json says."""
    settings.VAR_DIR = tmp_path

    def _seed():
        call_command("seed_demo")
        return json.loads((tmp_path / "demo.json").read_text())

    return _seed


@pytest.fixture
def results(seed):
    seed()
    production = Environment.objects.get(key="production")
    return results_for(get_experiment(production, Experiment.objects.get().pk))


def test_seed_demo__figures__are_those_promised(results):
    assert {row["key"]: (row["users"], row["conversions"], row["rate"]) for row in results["variants"]} == {
        "control": (500, 50, 0.10),
        "treatment": (500, 70, 0.14),
    }
    assert results["comparisons"][0]["absoluteLift"] == pytest.approx(0.04)
    assert (Exposure.objects.count(), Conversion.objects.count()) == (1000, 120)


def test_seed_demo__sample_ratio__is_fine_but_for_one_day(results):
    srm = results["srm"]

    assert (srm["warning"], srm["pValue"]) == (False, 1.0)
    assert len(srm["daily"]) == 7
    assert [position for position, day in enumerate(srm["daily"]) if day["warning"]] == [ANOMALOUS_DAY]
    assert srm["daily"][ANOMALOUS_DAY]["adjustedPValue"] < 0.005


def test_seed_demo__recommendation__is_to_keep_running_and_names_the_day(results):
    recommendation = results["recommendation"]

    assert recommendation["action"] == "keep_running"
    assert any(results["srm"]["daily"][ANOMALOUS_DAY]["date"] in caveat for caveat in recommendation["caveats"])
    assert results["comparisons"][0]["sequentialCi"] is not None


def test_seed_demo__each_night__has_its_stored_result_and_the_day_its_alarm(seed):
    seed()
    experiment = Experiment.objects.get()
    users = [
        sum(variant["users"] for variant in row.payload["variants"])
        for row in ExperimentResult.objects.order_by("until")
    ]
    assert users == list(itertools.accumulate(sum(day) for day in USERS_BY_DAY))
    assert [alarm.kind for alarm in Alarm.objects.filter(phase__experiment=experiment)] == ["srm"]


def test_seed_demo__every_exposure__is_what_the_engine_answers(seed):
    seed()
    production = Environment.objects.get(key="production")
    engine = load_environment(production.pk)
    rows = Exposure.objects.values_list("unit_id", "variant", "experiment")
    for unit_id, variant, experiment in rows:
        answer = engine.evaluate("new-checkout", Context(unit_id, {}))
        assert (answer.variant, answer.experiment) == (variant, experiment)


def test_seed_demo__testers__get_the_treatment_by_rule(seed):
    seed()
    engine = load_environment(Environment.objects.get(key="production").pk)
    answer = engine.evaluate("new-checkout", Context("tester-anna", {}))

    assert (answer.variant, answer.reason) == ("treatment", "RULE_MATCH")
    assert engine.evaluate("dark-mode", Context("anyone", {})).variant == "treatment"


def test_seed_demo__again__changes_nothing(seed):
    first = seed()
    counts = [
        model.objects.count() for model in (Exposure, Conversion, Entry, Change, Credential, ExperimentResult, User)
    ]
    versions = list(FlagConfig.objects.order_by("pk").values_list("version", flat=True))
    second = seed()

    assert second == first
    assert counts == [
        model.objects.count() for model in (Exposure, Conversion, Entry, Change, Credential, ExperimentResult, User)
    ]
    assert versions == list(FlagConfig.objects.order_by("pk").values_list("version", flat=True))
    assert not verify(Organization.objects.get().pk).broken


def test_seed_demo__what_was_edited_since__stays(seed):
    seed()
    FlagConfig.objects.filter(flag__key="dark-mode").update(is_enabled=False)
    seed()

    assert not FlagConfig.objects.get(flag__key="dark-mode", environment__key="production").is_enabled


def test_seed_demo__file__is_its_owners_alone_and_holds_what_works(seed, tmp_path, settings):
    demo = seed()

    assert (tmp_path / "demo.json").stat().st_mode & 0o777 == 0o600
    assert set(demo) == {
        "baseUrl", "streamUrl", "adminUser", "adminPassword", "organization", "project", "environment", "serverKey",
        "clientKey", "managementToken",
    }  # fmt: skip
    assert demo["baseUrl"] == settings.BASE_URL
    assert User.objects.get(username=demo["adminUser"]).check_password(demo["adminPassword"])
    for field in ("serverKey", "clientKey", "managementToken"):
        row = Credential.objects.get(prefix=credentials.prefix_of(demo[field]))
        assert credentials.matches(demo[field], bytes(row.secret_hash))


def test_seed_demo__file_is_lost__old_secrets_are_revoked_and_new_ones_made(seed, tmp_path):
    first = seed()
    (tmp_path / "demo.json").unlink()
    second = seed()

    assert first["serverKey"] != second["serverKey"]
    old = Credential.objects.get(prefix=credentials.prefix_of(first["serverKey"]))
    assert old.revoked_at is not None
    assert Credential.objects.filter(revoked_at__isnull=True).count() == 3


def test_seed_demo__admin_of_a_real_installation__keeps_their_password(seed, settings, capsys):
    settings.EMBEDDED = False
    User.objects.create_superuser(username="admin", password="their own password")
    demo = seed()

    assert demo["adminPassword"] is None
    assert User.objects.get(username="admin").check_password("their own password")
    assert "left as it is" in capsys.readouterr().err


def test_seed_demo__again__does_not_sound_as_if_there_were_nothing(seed, capsys):
    seed()
    first = capsys.readouterr().out
    seed()

    assert first.startswith("Demo ready: 1,000 exposures and 120 conversions stored;")
    assert capsys.readouterr().out.startswith("Demo ready: its events were there already;")


def test_addresses__not_told_to_this_process__stay_as_the_run_has_them(monkeypatch):
    known = {"baseUrl": "http://127.0.0.1:8003", "streamUrl": "http://127.0.0.1:8004"}
    monkeypatch.delenv("FLAGSHIP_BASE_URL", raising=False)
    monkeypatch.delenv("FLAGSHIP_STREAM_URL", raising=False)
    assert access.addresses(known) == known
    assert access.addresses({})["baseUrl"] == settings.BASE_URL
    monkeypatch.setenv("FLAGSHIP_BASE_URL", settings.BASE_URL)
    assert access.addresses(known)["baseUrl"] == settings.BASE_URL
