"""One module writes all figures of the console."""

import pytest

from tenancy.console_kit import formats


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "-"), (0, "0 ms"), (345, "345 ms"), (4_249, "4.2 s"), (45_485, "45 s"), (185_000, "3 min 5 s"),
        (180_000, "3 min"), (7_800_000, "2 h 10 min"),
    ],
)  # fmt: skip
def test_duration__is_read_at_a_glance(given, said):
    assert formats.duration(given) == said


@pytest.mark.parametrize(("given", "said"), [(1, "1 day"), (12, "12 days"), (140, "20 weeks"), (41_303, "113 years")])
def test_days__of_a_plan__are_what_one_plans_with(given, said):
    assert formats.days(given) == said


def test_counts_and_p_values__are_sentences():
    assert [formats.counted(count, "flag") for count in (0, 1, 2_000)] == ["0 flags", "1 flag", "2,000 flags"]
    assert formats.counted(1, "flag is", "flags are") == "1 flag is"
    assert [formats.p_said(value) for value in (0.00001, 0.03125)] == ["p < 0.0001", "p = 0.0312"]
