"""Stops the servers under the directory named: the last act of `keeper.py`, which holds the locks by then."""

from __future__ import annotations

import sys
from pathlib import Path

from flagship.embedded.errors import EmbeddedError
from flagship.embedded.layout import Layout
from flagship.embedded.session import stop_servers

if __name__ == "__main__":
    try:
        stop_servers(Layout.of(Path(sys.argv[1])))
    except EmbeddedError as error:
        sys.exit(str(error))
