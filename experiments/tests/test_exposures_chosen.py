"""Which exposures an environment logs, and a flag with a choice of its own: served to every evaluator, and obeyed."""

import pytest
from django.urls import reverse

from analytics.pipeline.exposure_buffer import EXPOSURES
from audit.models import Entry
from flags import services
from flags.models import Change
from flags.propagation.runtime import RUNTIME
from tenancy.testing import ALICE


@pytest.fixture
def logged(key, monkeypatch):
    """Evaluate a flag for one user; whether that is given to the buffer."""
    caller = key("server")

    def _logged(flag_key):
        calls = []
        RUNTIME.refresh()
        with monkeypatch.context() as patch:
            patch.setattr(EXPOSURES, "add", lambda *args: calls.append(args))
            assert caller.post("evaluate", {"flagKey": flag_key, "userId": "ann"}).status_code == 200
        return bool(calls)

    return _logged


def _choose(admin, exposures):
    version = admin.get("environments/production").json()["version"]
    return admin.patch("environments/production", {"version": version, "exposures": exposures})


def test_environment__experiments_alone__is_obeyed_but_for_flags_that_choose(make_flag, admin, editor, logged, running):
    for name in ("plain", "own", "gone"):
        make_flag(name, rollout=[{"variant": "treatment", "percent": 50}])
    assert editor.delete("flags/gone").status_code == 200
    own = editor.patch("flags/own", {"version": 1, "exposures": "all"}).json()
    assert (own["exposures"], editor.get("flags/plain").json()["exposures"]) == ("all", None)
    assert all(logged(name) for name in ("plain", "own"))

    changed = _choose(admin, "experiments")

    assert (changed.status_code, changed.json()["exposures"]) == (200, "experiments")
    assert [logged(name) for name in ("plain", "own", running.config.flag.key)] == [False, True, True]
    steps = Change.objects.filter(environment=running.environment, version__gt=changed.json()["configVersion"] - 2)
    assert {step.key: step.document.get("exposures") for step in steps} == {
        "new-checkout": "experiments", "plain": "experiments",
    }  # fmt: skip
    entry = Entry.objects.filter(action="environment.updated").latest("id")
    assert [change["path"] for change in entry.changes if change["path"] == "exposures"] == ["exposures"]

    mine = editor.patch("flags/own", {"version": own["version"], "exposures": None}).json()
    assert (mine["exposures"], logged("own")) == (None, False)
    assert _choose(admin, "all").status_code == 200
    assert logged("plain")


def test_exposures__that_are_none__are_refused_by_name(environment, make_flag, admin, editor):
    make_flag("a")

    refusals = [_choose(admin, "some"), editor.patch("flags/a", {"version": 1, "exposures": "some"})]

    for refused in refusals:
        assert (refused.status_code, refused.json()["errors"][0]["attr"]) == (400, "exposures")


def test_console__environment_and_flag__offer_the_choice(acme, console_owner):
    environment = acme.production
    config, _ = services.create_flag(actor=ALICE, environment=environment, payload={"key": "a"})
    of_environment = reverse("admin:tenancy_environment_change", args=[environment.pk])
    of_flag = reverse("admin:flags_flagconfig_change", args=[config.pk])
    sent = {"version": environment.version, "name": environment.name, "exposures": "experiments", "isProduction": "on"}

    assert "Exposures that are logged" in console_owner.get(of_environment).text
    assert console_owner.post(of_environment, {**sent, "environment": environment.pk}).status_code == 302

    environment.refresh_from_db()
    assert environment.exposures == "experiments"
    assert "only those that a running experiment answers" in console_owner.get(of_flag).text
