"""The snippets of a flag's page, run as they stand against the running platform."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flags.admin.snippets import snippets_for
from flags.models import Flag, FlagConfig
from flagship.tests.stack import Stack

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("stack"), pytest.mark.django_db]


@pytest.fixture
def texts(acme, stack: Stack) -> dict[str, str]:
    """For the demo's flag new-checkout, at the running platform's addresses."""
    flag = Flag.objects.create(
        project=acme.project,
        key="new-checkout",
        name="new-checkout",
        type="boolean",
        variants=[{"key": "control", "value": False}, {"key": "treatment", "value": True}],
    )
    config = FlagConfig.objects.create(
        flag=flag, environment=acme.production, salt="s", default_variant="control", off_variant="control"
    )
    found = snippets_for(config, base_url=stack.demo["baseUrl"], stream_url=stack.demo["streamUrl"])
    return {snippet.id: snippet.text for snippet in found}


def _run(stack: Stack, *command: str, text: str = "") -> str:
    environment = {**os.environ, "FLAGSHIP_SERVER_KEY": stack.demo["serverKey"]}
    finished = subprocess.run(
        command, env=environment, input=text, capture_output=True, text=True, check=False, timeout=120
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.strip()


@pytest.mark.parametrize("name", ["python", "python-async", "openfeature"])
def test_snippet__python__prints_what_the_platform_answers(
    stack: Stack, texts: dict[str, str], tmp_path: Path, name: str
) -> None:
    script = tmp_path / "ask.py"
    script.write_text(texts[name])
    expected = stack.call(
        "POST",
        "/api/flags/evaluate",
        {"flagKey": "new-checkout", "userId": "alice", "attributes": {"country": "US"}},
    ).json()["value"]
    assert _run(stack, sys.executable, str(script)) == str(expected)


def test_snippet__curl__answers(stack: Stack, texts: dict[str, str]) -> None:
    # A shell reads it; what curl would be given is sent from here, because not every machine has curl.
    shell = f"curl() {{ '{sys.executable}' -c 'import json, sys; print(json.dumps(sys.argv[1:]))' \"$@\"; }}\n"
    _, url, *options = json.loads(_run(stack, "sh", "-s", text=shell + texts["curl"]))
    given = [*zip(options[::2], options[1::2], strict=True)]
    headers = dict(value.split(": ", 1) for option, value in given if option == "-H")
    (body,) = [value for option, value in given if option == "-d"]

    response = stack.http.request("POST", url, body=body, headers=headers)

    assert response.status == 200, response.data
    assert response.json()["flagKey"] == "new-checkout"
