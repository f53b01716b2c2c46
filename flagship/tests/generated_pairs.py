"""Generated flags and users with the Python engine's answers, for the engines of other languages."""

from __future__ import annotations

import json
import random
from pathlib import Path

from openflagship.engine import CompiledEnvironment, Context

from sdk.conformance.cases.generated import REASONS, context, environment

_CONTEXTS = 30


def write_pairs(path: Path, least: int, *, seed: int) -> int:
    """Write at least so many, and return how many they are.

    One JSON document a line: `{snapshot, asked: [{key, userId, attributes, answer, unit}]}`.
    """
    source = random.Random(seed)
    lines, count, reasons = [], 0, set()
    while count < least:
        snapshot = environment(source)
        engine = CompiledEnvironment.from_document(snapshot)
        asked = []
        for _ in range(_CONTEXTS):
            user_id, attributes = context(source)
            given = Context(user_id, attributes)
            for key in snapshot["flags"]:
                answer = engine.evaluate(key, given).to_dict()
                reasons.add(answer["reason"])
                question = {"key": key, "userId": user_id, "attributes": attributes}
                asked.append({**question, "answer": answer, "unit": engine.unit(key, given)})
        count += len(asked)
        lines.append(json.dumps({"snapshot": snapshot, "asked": asked}))
    # A step that never occurs would not be compared.
    assert reasons == REASONS
    path.write_text("\n".join(lines))
    return count
