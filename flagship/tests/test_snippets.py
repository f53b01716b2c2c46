"""The snippets of a flag's page, run as they stand against the running platform."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flags.admin.flag.snippets import snippets_for
from flags.models import Flag, FlagConfig
from flagship.tests.stack import Stack, eventually
from sdk.conformance import golang
from sdk.conformance.javascript import SDK, build

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("stack"), pytest.mark.django_db]


# Where a snippet asks in vain it prints the default, its off value: each flag here answers something else.
FLAGS: dict[str, dict[str, Any]] = {
    "boolean": {"control": False, "treatment": True},
    "string": {"control": "old", "treatment": 'new "quoted"'},
    "number": {"control": 1, "treatment": 2.5},
    "json": {"control": {}, "treatment": {"columns": [1, 2], "title": "it's"}},
}
CLIENT_KEY = "const clientKey = process.env.FLAGSHIP_CLIENT_KEY;\n"
# As it is printed for people, an object is no JSON.
PRINTS_JSON = "console.log = (value) => process.stdout.write(JSON.stringify(value));\n"


@pytest.fixture
def snippets(acme, stack: Stack) -> Callable[..., dict[str, str]]:
    """Of a flag that is on the running platform too."""

    def _snippets(key: str, kind: str = "boolean") -> dict[str, str]:
        payload = {
            "key": key,
            "name": key,
            "type": kind,
            "variants": [{"key": name, "value": value} for name, value in FLAGS[kind].items()],
        }
        flag = Flag.objects.create(project=acme.project, **payload)
        config = FlagConfig.objects.create(
            flag=flag, environment=acme.production, salt="s", default_variant="control", off_variant="control"
        )
        if key != "new-checkout":
            created = stack.manage(
                "POST",
                "/api/flags",
                {**payload, "defaultVariant": "treatment", "offVariant": "control", "enabled": True},
            )
            assert created.status in {200, 201}, created.data
            eventually(
                lambda: all(stack.call("POST", f"/ofrep/v1/evaluate/flags/{key}", {}).status == 200 for _ in range(20)),
                what="every worker knows the flag",
            )
        found = snippets_for(config, base_url=stack.demo["baseUrl"])
        return {snippet.id: snippet.text for snippet in found}

    return _snippets


@pytest.fixture
def texts(snippets) -> dict[str, str]:
    """For the demo's flag new-checkout, at the running platform's addresses."""
    return snippets("new-checkout")


# The snippet as it stands, but that its client waits longer for a busy machine than five seconds.
PATIENCE = """
import functools, openflagship
for name in ("FlagShip", "AsyncFlagShip"):
    patient = functools.partial(getattr(openflagship, name), start_wait_seconds=60, connect_seconds=60)
    setattr(openflagship, name, patient)
"""


def _run(stack: Stack, *command: str, text: str = "") -> str:
    keys = {"FLAGSHIP_SERVER_KEY": stack.demo["serverKey"], "FLAGSHIP_CLIENT_KEY": stack.demo["clientKey"]}
    environment = {**os.environ, **keys}
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
    script.write_text(PATIENCE + texts[name])
    expected = stack.call(
        "POST",
        "/api/flags/evaluate",
        {"flagKey": "new-checkout", "userId": "alice", "attributes": {"country": "US"}},
    ).json()["value"]
    assert _run(stack, sys.executable, str(script)) == str(expected)


@pytest.mark.parametrize("kind", FLAGS)
def test_snippet__python_with_each_type__prints_the_flags_value(
    stack: Stack, snippets, tmp_path: Path, kind: str
) -> None:
    texts = snippets(f"snippet-{kind}", kind)
    for name in ("python", "openfeature"):
        script = tmp_path / f"ask_{name}.py"
        script.write_text(PATIENCE + texts[name])
        assert _run(stack, sys.executable, str(script)) == str(FLAGS[kind]["treatment"])


@pytest.mark.node
@pytest.mark.parametrize("kind", FLAGS)
def test_snippet__javascript_with_each_type__prints_the_flags_value(
    stack: Stack, snippets, packages: Path, kind: str
) -> None:
    texts = snippets(f"snippet-{kind}", kind)
    for name, before in (("javascript-server", PRINTS_JSON), ("javascript-web", PRINTS_JSON + CLIENT_KEY)):
        script = packages / f"{name}-{kind}.mjs"
        script.write_text(before + texts[name])
        assert json.loads(_run(stack, "node", str(script))) == FLAGS[kind]["treatment"], name


@pytest.mark.node
@pytest.mark.parametrize("kind", FLAGS)
def test_snippet__our_javascript_sdks_with_each_type__print_the_flags_value(
    stack: Stack, snippets, packages: Path, kind: str
) -> None:
    build()
    for name, folder in (("openflagship", "node"), ("openflagship-web", "web")):
        link = packages / "node_modules" / name
        if not link.exists():
            link.symlink_to(SDK / folder)
    texts = snippets(f"own-{kind}", kind)
    for name, before, after in (("node", "", ""), ("browser", CLIENT_KEY, "await flags.close();\n")):
        script = packages / f"{name}-{kind}.mjs"
        # As it stands, but that it waits longer for a busy machine than five seconds.
        script.write_text(PRINTS_JSON + before + texts[name].replace(".ready()", ".ready(60_000)") + after)
        assert json.loads(_run(stack, "node", str(script))) == FLAGS[kind]["treatment"], name


@pytest.mark.go
def test_snippet__go_with_each_type__prints_the_flags_value(stack: Stack, snippets, tmp_path: Path) -> None:
    (tmp_path / "go.mod").write_text(
        f"module ask\n\ngo 1.22\n\nrequire openflagship v0.0.0\n\nreplace openflagship => {golang.SDK}\n"
    )
    for kind in FLAGS:
        folder = tmp_path / kind
        folder.mkdir()
        # As it stands, but that it waits longer for a busy machine than five seconds.
        text = snippets(f"go-{kind}", kind)["go"]
        patient = "openflagship.Options{StartWait: time.Minute}"
        text = text.replace("openflagship.Options{}", patient).replace('"os"\n', '"os"\n\t"time"\n')
        (folder / "main.go").write_text(text)
    _run(stack, "go", "build", "-C", str(tmp_path), "-o", "bin/", "./...")
    for kind, values in FLAGS.items():
        assert json.loads(_run(stack, str(tmp_path / "bin" / kind))) == values["treatment"], kind


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
