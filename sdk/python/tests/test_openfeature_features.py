"""OpenFeature's evaluation features, through OpenFeature's own client and our provider."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from contract import read
from documents import snapshot
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.evaluation_context import EvaluationContext
from openfeature_world import FLAGS, as_document
from openflagship import FlagShip
from openflagship.openfeature import FlagShipProvider

ROWS = read("cases/ofrep/expectations.json")


@pytest.fixture(scope="module")
def client() -> Iterator[OpenFeatureClient]:
    document = snapshot(*(as_document(flag) for flag in FLAGS))
    provider = FlagShipProvider(FlagShip("", "http://127.0.0.1:9", bootstrap=document, is_offline=True))
    api.set_provider_and_wait(provider, "features")
    yield api.get_client("features")
    api.clear_providers()


def test_features__all_of_them__are_here() -> None:
    assert len(ROWS) == 48


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['scenario']} {row['flag']} {row['type']}")
def test_feature__row__answers_as_expected(client: OpenFeatureClient, row: dict[str, Any]) -> None:
    context = dict(row["context"])
    given = EvaluationContext(context.pop("targetingKey", None), context)
    details = getattr(client, f"get_{row['type']}_details")(row["flag"], row["default"], given)
    expected = row["expected"]
    if row.get("needs") == "code-default":
        # FlagShip serves a flag's off variant where it is off; the specification's flags would have none.
        flag = next(flag for flag in FLAGS if flag["key"] == row["flag"])
        expected = {"value": flag["variants"][flag["offVariant"]], "reason": "DISABLED", "variant": flag["offVariant"]}

    assert details.value == expected["value"]
    assert type(details.value) is type(expected["value"])
    assert str(details.reason) == expected.get("reason", "STATIC")
    assert details.error_code == expected.get("errorCode")
    if "variant" in expected:
        assert details.variant == expected["variant"]
    assert expected.get("metadata", {}).items() <= details.flag_metadata.items()
