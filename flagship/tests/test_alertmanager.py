"""The recipe of docs/guides/rollouts.md on the real Alertmanager: an alert rolls a plan back, once."""

import shutil
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import orjson
import pytest

from flags.services import create_flag
from flags.testing.cluster import free_port
from flags.testing.streams import eventually
from rollouts import services
from rollouts.models import RolloutPlan, Trigger
from tenancy.testing import ALICE

KEY = "new-checkout"
GUIDE = Path(__file__).resolve().parents[2] / "docs/guides/rollouts.md"


def _recipe(url: str) -> str:
    """The guide's receiver, with this address, and the shortest waits."""
    text = GUIDE.read_text().split("```yaml\n")[1].split("```")[0]
    receivers = text.replace("https://flagship.example.com/api/triggers/fs_trigger_…", url)
    assert url in receivers
    waits = "group_wait: 0s, group_interval: 1s, repeat_interval: 1h"
    # A recovery is sent here, to see that it does nothing.
    told = receivers.replace("send_resolved: false", "send_resolved: true")
    return f"route: {{receiver: checkout-rollback, {waits}}}\n{told}"


@pytest.mark.processes
@pytest.mark.alertmanager
@pytest.mark.django_db(transaction=True)
def test_alertmanager__fires_a_trigger__once(tmp_path: Path, environment: Any, live_server: Any) -> None:
    content = {"key": KEY, "enabled": True, "rollout": [{"variant": "treatment", "percent": 10}]}
    create_flag(actor=ALICE, environment=environment, payload=content)
    plan = {"variant": "treatment", "steps": [{"percent": 50}, {"percent": 100, "after": "P1D"}]}
    services.save_plan(actor=ALICE, environment=environment, key=KEY, payload=plan)
    services.start_plan(actor=ALICE, environment=environment, key=KEY)
    wanted = {"name": "errors", "flagKey": KEY, "act": "roll_back_plan"}
    issued = services.create_trigger(actor=ALICE, environment=environment, payload=wanted)
    config, port = tmp_path / "alertmanager.yml", free_port()
    config.write_text(_recipe(f"{live_server.url}/api/triggers/{issued.token}"))
    program = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    assert program is not None
    address = f"127.0.0.1:{port}"
    options = [f"--config.file={config}", f"--storage.path={tmp_path}", f"--web.listen-address={address}"]
    running = subprocess.Popen([program, *options, "--cluster.listen-address=", "--log.level=warn"])
    try:
        eventually(lambda: _send(address, {"labels": {"alertname": "Errors"}}), seconds=60)
        eventually(lambda: RolloutPlan.objects.get().state == "rolled_back", seconds=60)
        fired = Trigger.objects.get().last_called_at
        ended = {"labels": {"alertname": "Errors"}, "endsAt": "2020-01-01T00:00:00Z"}
        _send(address, ended)
        eventually(lambda: Trigger.objects.get().last_called_at != fired, seconds=60)
        assert Trigger.objects.get().calls.count() == 1
    finally:
        running.terminate()
        running.wait(30)


def _send(address: str, alert: dict[str, Any]) -> bool:
    request = urllib.request.Request(
        f"http://{address}/api/v2/alerts", orjson.dumps([alert]), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
