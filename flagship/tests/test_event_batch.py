"""A full batch with a few bad events, over HTTP to a running platform: the good ones are rows, the bad ones named."""

import gzip
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from openflagship.ids import uuid7

from flagship.tests.stack import Stack, eventually

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("stack")]


def test_batch__seven_bad_of_5000__stores_4993_rows_and_names_the_seven(stack: Stack) -> None:
    now = datetime.now(UTC)
    bad: dict[int, tuple[dict[str, Any], str]] = {
        0: ({"variant": None}, "invalid_type"),
        10: ({"userId": ""}, "invalid"),
        499: ({"timestamp": (now + timedelta(hours=25)).isoformat()}, "timestamp_in_future"),
        500: ({"evaluationId": "x"}, "invalid"),
        2500: ({"userId": "a\x00b"}, "invalid_text"),
        4998: ({"flagKey": "k" * 201}, "invalid"),
        4999: ({"attributes": [1]}, "invalid_type"),
    }
    events = [
        {
            "evaluationId": str(uuid7()),
            "flagKey": "batch-of-5000",
            "userId": f"batch-user-{index}",
            "variant": "treatment",
            "timestamp": now.isoformat(),
            **bad.get(index, ({},))[0],
        }
        for index in range(5000)
    ]
    answer = stack.http.request(
        "POST",
        stack.demo["baseUrl"] + "/api/events/exposure",
        body=gzip.compress(json.dumps({"events": events}).encode()),
        headers={
            "Authorization": f"Bearer {stack.demo['serverKey']}",
            "Content-Type": "application/json",
            "Content-Encoding": "gzip",
        },
    )
    assert answer.status == 202, answer.data
    said = answer.json()
    assert said["accepted"] == 4993
    assert {one["index"]: one["code"] for one in said["rejected"]} == {at: code for at, (_, code) in bad.items()}
    assert all(one["detail"] for one in said["rejected"])

    good = [event["evaluationId"] for index, event in enumerate(events) if index not in bad]
    eventually(
        lambda: stack.rows("SELECT count(*) FROM exposures WHERE evaluation_id = ANY (%s::uuid[])", good) == [(4993,)],
        what="the 4,993 rows",
    )
    stored = stack.rows("SELECT evaluation_id::text, unit_id FROM exposures WHERE flag_key = 'batch-of-5000'")
    assert dict(stored) == {
        event["evaluationId"]: event["userId"] for index, event in enumerate(events) if index not in bad
    }
