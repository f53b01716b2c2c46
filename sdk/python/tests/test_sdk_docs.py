"""The snippets of the SDK's pages run as they stand, against a platform where they name one."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import openflagship
import openflagship.client
import pytest
import redis
from documents import snapshot
from openfeature import api
from openflagship.client.core import ClientCore
from redis.backoff import NoBackoff
from redis.retry import Retry
from sdk_fixtures import treatment
from small_platform import KEY, SmallPlatform, free_port

GUIDES = Path(__file__).resolve().parents[3] / "docs" / "guides"
PAGES = [GUIDES / "openfeature.md", *sorted((GUIDES / "python-sdk").glob("*.md"))]
SNIPPETS = [
    pytest.param(page, code, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, code in enumerate(re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL))
]


@pytest.fixture
def shop(platform: SmallPlatform, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallPlatform]:
    """Every client of a snippet is one of this platform, and is closed at the end."""
    made: list[ClientCore] = []
    init = ClientCore.__init__

    def patched(self: ClientCore, server_key: str, url: str, options: Any, settings: Any) -> None:
        made.append(self)
        init(self, server_key and KEY, platform.url, options, settings)

    platform.flags["new-checkout"] = treatment("new-checkout")
    monkeypatch.setattr(ClientCore, "__init__", patched)
    # No Redis that may be somebody's.
    monkeypatch.setattr(redis, "Redis", partial(redis.Redis, port=free_port(), retry=Retry(NoBackoff(), 0)))
    level = logging.getLogger("openflagship").level
    yield platform
    logging.getLogger("openflagship").setLevel(level)
    api.shutdown()
    api.clear_providers()
    for client in made:
        if isinstance(client, openflagship.FlagShip):
            client.close()


@pytest.mark.parametrize(("page", "code"), SNIPPETS)
def test_snippet__as_it_stands__runs(
    page: Path, code: str, shop: SmallPlatform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flags.json").write_text(json.dumps(snapshot(treatment())))
    shop.secret = "fs_sign_…"
    code = code.replace("/var/lib/shop/", f"{tmp_path}/")

    exec(compile(code, str(page), "exec"), {"__name__": "snippet"})


def test_installing__as_pages_and_messages_say__takes_no_index_where_nobody_published_it() -> None:
    root = GUIDES.parents[1]
    texts = ("docs/**/*.md", "sdk/python/**/*.md", "sdk/python/openflagship/**/*.py")
    places = [path for pattern in texts for path in root.glob(pattern)]
    places += [path for path in root.glob("deploy/**/*") if path.is_file()]
    asked = re.compile(r"pip3? install[^\n]*[\s'\"{-]openflagship\b")
    found = [str(path.relative_to(root)) for path in places if asked.search(path.read_text("utf-8", "replace"))]

    assert found == []
