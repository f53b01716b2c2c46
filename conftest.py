"""Every test runs against a real PostgreSQL and a real Redis: the embedded ones, in a folder and databases of their own."""

import os
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

# Before Django reads its settings: the tests' servers are never those of a run that happens to be going on.
ROOT = Path(__file__).parent
os.environ.setdefault("FLAGSHIP_VAR_DIR", str(ROOT / "var" / "test"))
os.environ.setdefault("POLL_SECONDS", "0.2")
_worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
_run = os.environ.setdefault("FLAGSHIP_TEST_RUN", uuid.uuid4().hex[:8])
os.environ["REDIS_PREFIX"] = f"test-{_run}-{_worker}"

import pytest  # noqa: E402 - the environment comes first

from flagship import embedded  # noqa: E402 - likewise

_servers = ExitStack()


def pytest_configure(config: pytest.Config) -> None:
    """The controller starts the servers before it starts its workers, and each worker holds on to them as well."""
    if not (os.environ.get("DATABASE_URL") and os.environ.get("REDIS_URL")):
        _servers.enter_context(embedded.session(Path(os.environ["FLAGSHIP_VAR_DIR"]), fsync=False))


def pytest_unconfigure(config: pytest.Config) -> None:
    _servers.close()


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """A database of this run's own, so that two runs in one clone do not meet."""
    from django.conf import settings  # noqa: PLC0415 - settings are read late
    from django.db import connections  # noqa: PLC0415 - likewise

    name = f"test_{_run}_{_worker}"
    connections["default"].settings_dict.setdefault("TEST", {})["NAME"] = name
    settings.DATABASES["default"].setdefault("TEST", {})["NAME"] = name


@pytest.fixture(autouse=True)
def _clean_redis(request: pytest.FixtureRequest) -> Iterator[None]:
    """Leave no key of a test behind for the next one."""
    yield
    if "django_db_setup" not in request.fixturenames and "redis_keys" not in request.fixturenames:
        return
    from django.conf import settings  # noqa: PLC0415 - settings are read late
    from django_redis import get_redis_connection  # noqa: PLC0415 - likewise

    connection = get_redis_connection("default")
    keys = list(connection.scan_iter(f"{settings.REDIS_PREFIX}*", count=1000))
    if keys:
        connection.delete(*keys)
