"""Clients generated from the served OpenAPI document, as docs/guides/api-clients.md says: they compile and work."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from django.test import RequestFactory

from flags.propagation.runtime import RUNTIME
from flagship.openapi.document import SchemaView
from sdk.conformance import javascript

pytestmark = [pytest.mark.xdist_group("go")]

CLIENTS = Path(__file__).parent / "api_clients"
RULE = {
    "priority": 1,
    "variant": "treatment",
    "conditions": [{"attribute": "country", "operator": "equals", "value": "US"}],
}
# The variant, its value, and why.
ANSWER = ["treatment", True, "RULE_MATCH"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The programs that use the clients, and the document as it is served."""
    made = tmp_path_factory.mktemp("clients") / "clients"
    shutil.copytree(CLIENTS, made)
    asked = RequestFactory().get("/api/schema/", headers={"Accept": "application/vnd.oai.openapi+json"})
    (made / "openapi.json").write_bytes(SchemaView.as_view()(asked).content)
    return made


@pytest.fixture
def caller(live_server, environment, key, make_flag):
    make_flag("checkout", rules=[RULE])
    RUNTIME.refresh()
    return {"FLAGSHIP_URL": live_server.url, "FLAGSHIP_KEY": key().secret}


def _run(folder: Path, *command: str | Path, **environment: str) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        check=False,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


@pytest.mark.node
@pytest.mark.django_db(transaction=True)
def test_typescript__generated_and_compiled_strictly__evaluates_a_flag(folder, caller):
    javascript.build()
    patient = ["--fetch-retries=5", "--fetch-timeout=60000", "--prefer-offline"]
    _run(folder, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", *patient)
    _run(folder, "npx", "--no-install", "openapi-typescript", "openapi.json", "-o", "flagship.d.ts")
    _run(folder, javascript.SDK / "node_modules" / ".bin" / "tsc", "-p", ".")

    assert json.loads(_run(folder, "node", "evaluate.mjs", **caller)) == ANSWER


@pytest.mark.go
@pytest.mark.django_db(transaction=True)
def test_go__generated_and_compiled__evaluates_a_flag(folder, caller):
    for settings in ("whole", "evaluations"):
        (folder / settings).mkdir()
        _run(folder, "go", "tool", "oapi-codegen", "--config", f"{settings}.yaml", "openapi.json")
    # It compiles every route without making code of it, which would take half a minute.
    _run(folder, "go", "vet", "./whole")

    assert json.loads(_run(folder, "go", "run", ".", **caller)) == ANSWER
