"""A flag's history is one: what its experiments did to it stands in its audit log and in its versions."""

import copy
import functools

import pytest

import audit.services
from experiments import services
from experiments.tests.conftest import START
from tenancy.admin.testing import signed_in
from tenancy.testing import ALICE


@pytest.mark.parametrize("path", ["flags/new-checkout/audit", "audit"])
def test_audit_of_a_flag__has_the_acts_on_its_experiments(environment, viewer, running, make_flag, path):
    """Public report Flagsmith#2188: a flag's audit log lacked the acts on what belongs to it."""
    make_flag("beside")
    services.pause_experiment(actor=ALICE, environment=environment, pk=running.pk, reason="odd figures")

    rows = viewer.get(path, **({"flagKey": "new-checkout"} if path == "audit" else {})).json()["results"]

    assert [(row["action"], row["reason"]) for row in rows] == [
        ("experiment.paused", "odd figures"),
        ("experiment.started", ""),
        ("experiment.created", ""),
        ("flag.created", ""),
    ]


def test_versions__made_by_an_experiment__say_what_it_changed(environment, viewer, flag, make_experiment, start):
    experiment = start(make_experiment(), at=START)
    services.restart_experiment(actor=ALICE, environment=environment, pk=experiment.pk, reason="anew")

    newest, started, *_ = viewer.get("flags/new-checkout/versions").json()["results"]

    (begun,) = [change for change in started["changes"] if change["path"] == "experiment"]
    assert (begun["before"], begun["after"]["id"]) == (None, experiment.key)
    assert {change["path"] for change in newest["changes"]} >= {"salt"}


def test_console__of_a_flag__lists_the_acts_on_its_experiments(environment, person, running, make_flag):
    make_flag("beside")
    console = signed_in(person("owner", environment.project.organization))

    page = console.get("/admin/audit/entry/", {"flag": "new-checkout"}).content.decode()

    assert "Experiment started" in page
    assert "flag beside" not in page


def test_audit_of_a_flag__experiment_of_the_same_key_elsewhere__is_left_out(environment, viewer, running, flag):
    elsewhere = copy.copy(environment)
    elsewhere.key = "other"
    record = functools.partial(audit.services.record, actor=ALICE, action="experiment.created", key=running.key)
    record(at=elsewhere, after={"flagKey": "banner"})

    rows = viewer.get("audit", flagKey="new-checkout").json()["results"]
    assert {row["environment"] for row in rows} == {environment.key}
    assert [row["key"] for row in viewer.get("audit", flagKey="banner").json()["results"]] == [running.key]
