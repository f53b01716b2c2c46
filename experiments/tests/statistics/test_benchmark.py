"""The benchmark keeps to its own section of the report, and its thousand analyses are real ones."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.statistics.promises import _experiment, analyse
from benchmarks.world import replace_section

OPENS, CLOSES = "<!-- statistics -->", "<!-- /statistics -->"


def test_section__other_sections__are_left_alone(tmp_path: Path) -> None:
    report = tmp_path / "RESULTS.md"
    report.write_text(f"# Results\n\nbefore\n\n{OPENS}\nold\n{CLOSES}\n\nafter\n")
    replace_section("statistics", "new", report)
    assert report.read_text() == f"# Results\n\nbefore\n\n{OPENS}\nnew\n{CLOSES}\n\nafter\n"


def test_section__missing__is_added(tmp_path: Path) -> None:
    report = tmp_path / "RESULTS.md"
    replace_section("statistics", "new", report)
    assert report.read_text() == f"# Results\n\n{OPENS}\nnew\n{CLOSES}\n"


def test_section__never_closed__is_refused(tmp_path: Path) -> None:
    report = tmp_path / "RESULTS.md"
    report.write_text(f"{OPENS}\nold\n")
    with pytest.raises(ValueError, match="never closes"):
        replace_section("statistics", "new", report)


def test_analysis__one_experiment__has_no_gap() -> None:
    figures = analyse(_experiment(np.random.default_rng(1)))
    assert len(figures) == 25
    assert [result.reason for result in figures if getattr(result, "reason", None)] == []
