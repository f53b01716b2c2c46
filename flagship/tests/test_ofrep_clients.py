"""OFREP with the real clients: OpenFeature's providers from PyPI and npm against a running platform."""

import json
import subprocess
from pathlib import Path

import pytest
from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext

from flags.tests.test_ofrep import FLAGS, ROWS, as_payload
from flagship.tests.stack import Stack, eventually

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("stack")]


@pytest.fixture(scope="module")
def flags(stack: Stack) -> Stack:
    for flag in FLAGS:
        created = stack.manage("POST", "/api/flags", as_payload(flag))
        assert created.status in {200, 201}, created.data
    last = FLAGS[-1]["key"]
    eventually(
        lambda: all(stack.call("POST", f"/ofrep/v1/evaluate/flags/{last}", {}).status == 200 for _ in range(20)),
        what="every worker knows the flags",
    )
    return stack


def _differences(results: list[dict]) -> list[tuple]:
    """Rows whose result is not the expected one; a reason is compared where the row names one."""
    wrong = []
    for row, result in zip(ROWS, results, strict=True):
        expected = row["expected"]
        told = result.get("metadata") or {}
        result["metadata"] = {name: value for name, value in told.items() if name != "evaluationId"}
        seen = {name: result.get(name) for name in expected}
        if seen != expected:
            wrong.append((row["scenario"], row["flag"], seen, expected))
    return wrong


def test_python_provider__every_row__resolves_as_expected(flags: Stack) -> None:
    headers = {"Authorization": f"Bearer {flags.demo['clientKey']}"}
    provider = OFREPProvider(flags.demo["baseUrl"], headers_factory=lambda: headers)
    api.set_provider(provider, domain="ofrep-test")
    client = api.get_client("ofrep-test")
    try:
        results = []
        for row in ROWS:
            context = dict(row["context"])
            details = getattr(client, f"get_{row['type']}_details")(
                row["flag"], row["default"], EvaluationContext(context.pop("targetingKey", None), context)
            )
            results.append(
                {
                    "value": details.value,
                    "variant": details.variant,
                    "reason": details.reason,
                    "errorCode": details.error_code,
                    "metadata": details.flag_metadata,
                }
            )
    finally:
        api.clear_providers()
        provider.session.close()

    assert _differences(results) == []


@pytest.mark.node
@pytest.mark.parametrize("client", ["server", "web"])
def test_node_provider__every_row__resolves_as_expected(flags: Stack, packages: Path, client: str) -> None:
    finished = subprocess.run(
        ["node", "evaluate.mjs"],
        check=False,
        cwd=packages,
        input=json.dumps(
            {"baseUrl": flags.demo["baseUrl"], "key": flags.demo["clientKey"], "client": client, "rows": ROWS}
        ),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert finished.returncode == 0, finished.stderr
    results = [json.loads(line) for line in finished.stdout.splitlines()]
    for result in results:
        result["metadata"] = result.get("flagMetadata", {})

    assert _differences(results) == []
