"""What a page begins with: one user's answers, as the platform would give them, signed for whoever passes them on."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from openflagship import Context, FlagShip
from openflagship.pages import page_answers, signed_page_answers, verified_page_answers
from sdk_fixtures import treatment

SECRET = "fs_sign_test_words"
EXPERIMENT = {
    "id": "button",
    "status": "running",
    "layer": {"key": None, "salt": "s"},
    "ranges": [[0, 10_000]],
    "controlVariant": "control",
    "audience": None,
}


@pytest.fixture
def client() -> Iterator[FlagShip]:
    tried = treatment("tried", experiment=EXPERIMENT, exposures="experiments", metadata={"owner": "ünï"})
    flags = {"tried": tried, "by-device": treatment("by-device", bucketBy=["deviceId", "userId"]), "broken": {}}
    document = {"contract": 1, "version": 7, "flags": flags, "segments": {}}
    with FlagShip("", "http://flags.invalid", bootstrap=document, is_offline=True) as made:
        yield made


def test_answers__each_flag__has_what_a_page_needs_to_record_it(client: FlagShip) -> None:
    answers = page_answers(client, Context("ada", {"deviceId": "d-1"}))

    found = {one["key"]: one for one in answers["flags"]}
    assert answers["metadata"] == {"configVersion": 7, "targetingKey": "ada"}
    assert found["tried"]["metadata"] == {"owner": "ünï", "exposures": "experiments", "experiment": "button"}
    assert found["by-device"]["metadata"] == {"bucketBy": "deviceId,userId"}
    assert (found["by-device"]["value"], found["by-device"]["variant"]) == (True, "treatment")
    assert found["broken"]["errorCode"] == "PARSE_ERROR"


def test_signed__altered_or_under_another_secret__is_refused(client: FlagShip) -> None:
    signed = signed_page_answers(client, "ada", SECRET)

    assert verified_page_answers(signed, SECRET) == json.loads(signed["answers"])
    altered = {**signed, "answers": signed["answers"].replace("ada", "eve")}
    for given, secret in ((altered, SECRET), (signed, "another"), ({}, SECRET)):
        with pytest.raises(ValueError, match="signature"):
            verified_page_answers(given, secret)
    with pytest.raises(ValueError, match="secret"):
        signed_page_answers(client, "ada", " ")
