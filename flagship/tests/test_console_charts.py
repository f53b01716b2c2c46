"""Charts as geometry: what is larger is higher, gaps stay gaps, and nothing leaves the picture."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenancy.console_kit.charts import HEIGHT, WIDTH, draw_bars, draw_forest, draw_lines, ticks


@given(low=st.floats(-1e6, 1e6), width=st.floats(1e-3, 1e6))
def test_ticks__any_span__cover_it_in_few_steps(low, width):
    found = ticks(low, low + width)

    slack = (found[-1] - found[0]) * 1e-6
    assert found == sorted(found)
    assert found[0] <= low + slack
    assert found[-1] >= low + width - slack
    assert len(found) <= 12


def test_bars__more__is_higher_and_flagged_days_are_marked():
    chart = {
        "labels": ["1 Mar", "2 Mar"],
        "series": [{"name": "control", "values": [10, 40]}],
        "flagged": {"2 Mar": "uneven"},
    }
    drawing = draw_bars(chart)

    small, large = drawing.bars
    assert large.height == pytest.approx(4 * small.height)
    assert large.text == "2 Mar, control: 40"
    (mark,) = drawing.rules
    assert mark.x <= large.x <= large.x + large.width <= mark.x + mark.width


@given(values=st.lists(st.integers(0, 10**9), min_size=1, max_size=60))
def test_bars__any_figures__stay_inside(values):
    drawing = draw_bars({"labels": [str(n) for n in range(len(values))], "series": [{"name": "a", "values": values}]})

    assert all(bar.x >= 0 and bar.x + bar.width <= WIDTH for bar in drawing.bars)
    assert all(bar.y >= 0 and bar.y + bar.height <= HEIGHT for bar in drawing.bars)


def test_lines__unknown_value__leaves_a_gap():
    drawing = draw_lines({"labels": ["a", "b", "c"], "series": [{"name": "lift", "values": [1, None, 2]}]})

    ((path, _),) = drawing.paths
    assert path.count("M") == 2
    assert len(drawing.points) == 2


def test_lines__below_zero__show_the_line_of_no_effect():
    series = [{"name": "lift", "values": [-0.1, 0.1], "low": [-0.2, 0.0], "high": [0.0, 0.2]}]
    drawing = draw_lines({"labels": ["a", "b"], "series": series, "unit": "points"})

    assert len(drawing.rules) == 1
    assert len(drawing.areas) == 1


@pytest.mark.parametrize(
    ("unit", "axis", "said"),
    [("points", "-20", "-20 points"), ("percent", "-20 %", "-20 %"), ("number", "-0.2", "-0.2")],
)
def test_lines_and_forest__unit__is_on_the_axis_and_in_what_a_pointer_reads(unit, axis, said):
    lines = draw_lines({"labels": ["a"], "series": [{"name": "control", "values": [-0.2]}], "unit": unit})
    row = {"name": "treatment", "estimate": -0.2, "low": -0.4, "high": 0.4}
    forest = draw_forest({"rows": [row], "unit": unit})

    assert axis in {label.text for label in lines.labels_y}
    assert lines.points[0].text == f"a, control: {said}"
    assert axis in {label.text for label in forest.labels_x}
    assert forest.points[0].text.startswith(f"treatment: {said}, from ")


def test_forest__intervals__hold_their_estimates():
    rows = [{"name": "treatment", "estimate": 0.1, "low": -0.1, "high": 0.3}]
    drawing = draw_forest({"rows": rows})

    (bar,), (point,), (zero,) = drawing.bars, drawing.points, drawing.rules
    assert bar.x < zero.x < point.x < bar.x + bar.width


def test_charts__nothing_to_show__draw_an_empty_frame():
    assert draw_bars({"labels": [], "series": []}).bars == []
    assert draw_lines({"labels": [], "series": []}).paths == []
    assert draw_forest({"rows": []}).bars == []
