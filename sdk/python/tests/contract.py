"""Where the contract's data stands: vectors, cases and the schema that every language is tested with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CONTRACT = Path(__file__).resolve().parents[2] / "contract"


def read(name: str) -> Any:
    """One of the contract's JSON files, by its path below `sdk/contract`."""
    return json.loads((CONTRACT / name).read_text("utf-8"))
