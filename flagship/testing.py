"""The pytest plugin every test runs under: real servers of the tests' own, and names that no other run uses.

Loaded with `-p`, because pytest-django reads the settings before any conftest.
"""

import gc
import os
import uuid
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# The tests' servers are never those of a run that happens to be going on.
os.environ["FLAGSHIP_VAR_DIR"] = os.environ.get("FLAGSHIP_TEST_VAR_DIR", str(ROOT / "var" / "test"))
os.environ["POLL_SECONDS"] = "0.2"
# Beside as many tests as there are cores, a worker that steps back would hardly run.
os.environ["WORKER_NICENESS"] = "0"
# One name for the whole run, handed to the workers that the controller starts.
RUN = os.environ.setdefault("FLAGSHIP_TEST_RUN", uuid.uuid4().hex[:8])
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "main")
os.environ["REDIS_PREFIX"] = f"test-{RUN}-{WORKER}"

import pytest  # noqa: E402 - the environment comes first
from django.conf import settings  # noqa: E402 - likewise

from flagship import embedded  # noqa: E402 - likewise

_servers = ExitStack()


def pytest_configure(config: pytest.Config) -> None:
    """Hold the servers open; the controller does so before it starts its workers, and each worker as well."""
    # Where static files would be collected; whitenoise warns of a folder that is not there. It looks for a file when
    # one is asked for: to list them all with each client that a test makes took a tenth of the time.
    (Path(os.environ["FLAGSHIP_VAR_DIR"]) / "static").mkdir(parents=True, exist_ok=True)
    settings.WHITENOISE_AUTOREFRESH = True
    # The default one takes a third of a second for each password, which is what it is for.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    if not (os.environ.get("DATABASE_URL") and os.environ.get("REDIS_URL")):
        _servers.enter_context(embedded.session(Path(os.environ["FLAGSHIP_VAR_DIR"]), fsync=False))


def pytest_collection_finish() -> None:
    """Leave alone what lives as long as the run: going through all of it again and again took a tenth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def pytest_unconfigure(config: pytest.Config) -> None:
    _servers.close()
