"""Files of other products with any part of them replaced: they are converted or refused, and nothing else."""

import copy
import json

import pytest

from flags.exchange.formats import convert
from flags.tests.test_importer_growthbook import FEATURES
from flags.tests.test_importers import FLAGSMITH, LAUNCHDARKLY, UNLEASH
from flags.tests.test_importers_losses import _launchdarkly
from flagship.tests.hostile import JSON_VALUES
from tenancy.errors import Invalid

NUMERIC = {"attribute": "age", "op": "greaterThan", "values": [5]}
FILES = {
    "launchdarkly": {
        **LAUNCHDARKLY,
        "segments": [{"key": "old", "rules": [{"clauses": [NUMERIC]}], "included": ["a"]}],
    },
    "unleash": UNLEASH,
    "flagsmith": FLAGSMITH,
    "growthbook": {"features": FEATURES},
}
VALUES = [
    *(json.loads(text) for name, text in JSON_VALUES.items() if not name.startswith(("deep", "nesting", "100 KB"))),
    [[]],
    [None],
    {"a": []},
    5,
]


def _places(node, path=()):
    yield path
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for name, inner in items:
        yield from _places(inner, (*path, name))


def _replaced(data, path, value):
    changed = copy.deepcopy(data)
    inside = changed
    for name in path[:-1]:
        inside = inside[name]
    inside[path[-1]] = value
    return changed


@pytest.mark.parametrize("kind", FILES)
def test_file__with_anything_anywhere__is_converted_or_refused(kind):
    broken = []
    for path in _places(FILES[kind]):
        for value in VALUES if path else ():
            try:
                convert(kind, _replaced(FILES[kind], path, value), environment=None)
            except Invalid:
                pass
            except Exception as error:  # noqa: BLE001 - each is a finding
                broken.append(f"{'.'.join(map(str, path))} = {str(value)[:30]}: {error!r}")
    assert broken == []


@pytest.mark.parametrize("negate", [False, True])
@pytest.mark.parametrize("operator", ["greaterThan", "lessThan", "in", "before", "semVerEqual"])
def test_launchdarkly__clause_on_numbers__is_carried_over(operator, negate):
    clause = {"attribute": "age", "op": operator, "values": [5, 7], "negate": negate}
    segments = [{"key": "old", "rules": [{"clauses": [clause]}]}]
    converted, notes = convert(
        "launchdarkly", _launchdarkly([{"variation": 0, "clauses": [clause]}], segments=segments), environment=None
    )
    assert (len(converted["flags"][0]["rules"]), notes) == (1, [])
    assert converted["segments"][0]["conditions"] is not None
