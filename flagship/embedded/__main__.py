"""Stops the servers under the given directory. `keeper.py` becomes this at its end, and then holds the locks."""

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
