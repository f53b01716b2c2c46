"""Charts as geometry. The server turns plain data into coordinates and draws SVG, with the figures in a table beside.

A plain mapping of one of the types below describes a chart. The function that goes with the type draws it.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NotRequired, TypedDict

WIDTH = 760
HEIGHT = 260
LEFT, RIGHT, TOP, BOTTOM = 56, 28, 12, 40
_WIDEST_BAR = 42.0
_MOST_LABELS = 10


class Table(TypedDict):
    """A chart's figures as text, for people who read the table."""

    head: list[str]
    rows: list[list[str]]


class Series(TypedDict):
    """One line, or one bar of each group. `low` and `high` are the edges of a band around a line."""

    name: str
    values: Sequence[float | None]
    low: NotRequired[Sequence[float | None]]
    high: NotRequired[Sequence[float | None]]
    css: NotRequired[str]


class Chart(TypedDict):
    """The words that every chart has."""

    title: str
    description: str
    table: NotRequired[Table]


class BarChart(Chart):
    """A group of bars for each label. `flagged` says, by label, what is wrong with a group."""

    labels: Sequence[str]
    series: Sequence[Series]
    flagged: NotRequired[Mapping[str, str]]
    flagged_name: NotRequired[str]


class LineChart(Chart):
    """Lines over labels; a value of None leaves a gap."""

    labels: Sequence[str]
    series: Sequence[Series]
    unit: NotRequired[str]


class Interval(TypedDict):
    """An estimate between its limits."""

    name: str
    estimate: float
    low: float
    high: float
    css: NotRequired[str]


class ForestChart(Chart):
    """Intervals above one another, with the line of no effect."""

    rows: Sequence[Interval]
    unit: NotRequired[str]


@dataclass(frozen=True, slots=True)
class Mark:
    """A bar, a point or a rule, with those of x, y, width and height that it needs. `text` is its tooltip."""

    x: float
    y: float
    width: float = 0.0
    height: float = 0.0
    text: str = ""
    css: str = ""


@dataclass(frozen=True, slots=True)
class Label:
    """A text beside an axis."""

    x: float
    y: float
    text: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """The elements that a template writes as SVG."""

    height: int
    bars: Sequence[Mark] = ()
    paths: Sequence[tuple[str, str]] = ()
    areas: Sequence[tuple[str, str]] = ()
    points: Sequence[Mark] = ()
    rules: Sequence[Mark] = ()
    labels_x: Sequence[Label] = ()
    labels_y: Sequence[Label] = ()
    width: int = WIDTH


def ticks(low: float, high: float, wanted: int = 4) -> list[float]:
    """Return round values that span [low, high] in about `wanted` steps. The outer ones reach its ends or pass them."""
    if not high > low:
        high = low + 1
    raw = (high - low) / wanted
    size = 10 ** math.floor(math.log10(raw))
    step = next(factor * size for factor in (1, 2, 2.5, 5, 10) if factor * size >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def draw_bars(chart: BarChart) -> Drawing:
    labels, series = chart["labels"], chart["series"]
    highest = max((value or 0 for one in series for value in one["values"]), default=0)
    scale = _Scale(0, highest)
    group = (WIDTH - LEFT - RIGHT) / max(len(labels), 1)
    width = min(group * 0.8 / max(len(series), 1), _WIDEST_BAR)
    flagged: Mapping[str, str] = chart.get("flagged", {})
    bars, rules = [], []
    for index, label in enumerate(labels):
        middle = LEFT + group * (index + 0.5)
        if label in flagged:
            rules.append(Mark(LEFT + group * index, TOP, group, HEIGHT - TOP - BOTTOM, f"{label}: {flagged[label]}"))
        for position, one in enumerate(series):
            value = one["values"][index] or 0
            top = scale.y(value)
            bars.append(
                Mark(
                    middle + (position - len(series) / 2) * width,
                    top,
                    max(width - 2, 1),
                    HEIGHT - BOTTOM - top,
                    f"{label}, {one['name']}: {number(value)}",
                    f"fs-series-{position % 6}",
                )
            )
    positions = [LEFT + group * (index + 0.5) for index in range(len(labels))]
    return Drawing(HEIGHT, bars=bars, rules=rules, labels_x=_thinned(positions, labels), labels_y=scale.labels())


def draw_lines(chart: LineChart) -> Drawing:
    labels, series = chart["labels"], chart["series"]
    known = [
        value
        for one in series
        for values in (one["values"], one.get("low") or (), one.get("high") or ())
        for value in values
        if value is not None
    ]
    low = min(known, default=0)
    scale = _Scale(min(low, 0), max([*known, 0]), unit=chart.get("unit", "number"))
    step = (WIDTH - LEFT - RIGHT) / max(len(labels) - 1, 1)
    positions = [LEFT + step * index for index in range(len(labels))]
    paths, areas, points = [], [], []
    for position, one in enumerate(series):
        css = f"fs-series-{position % 6}"
        paths.append((_path(positions, one["values"], scale), f"{css} {one.get('css', '')}".strip()))
        if one.get("low"):
            areas.append((_area(positions, one["low"], one["high"], scale), css))
        points += [
            Mark(x, scale.y(value), text=f"{label}, {one['name']}: {scale.text(value)}", css=css)
            for x, label, value in zip(positions, labels, one["values"], strict=True)
            if value is not None and not one.get("css")
        ]
    rules = [Mark(LEFT, scale.y(0), WIDTH - LEFT - RIGHT)] if low < 0 else []
    return Drawing(
        HEIGHT,
        paths=paths,
        areas=areas,
        points=points,
        rules=rules,
        labels_x=_thinned(positions, labels),
        labels_y=scale.labels(),
    )


def draw_forest(chart: ForestChart) -> Drawing:
    unit, rows = UNITS[chart.get("unit", "percent")], chart["rows"]
    row_height, left = 44, 200
    height = TOP + row_height * max(len(rows), 1) + BOTTOM
    steps = ticks(min([0, *(row["low"] for row in rows)]), max([0, *(row["high"] for row in rows)]), 6)
    low, high = steps[0], steps[-1]

    def x(value: float) -> float:
        return left + (value - low) / (high - low) * (WIDTH - left - RIGHT - 16)

    bars, points, labels_y = [], [], []
    for index, row in enumerate(rows):
        middle = TOP + row_height * (index + 0.5)
        css = row.get("css", "")
        said = f"{row['name']}: {unit.said(row['estimate'])}, from {unit.said(row['low'])} to {unit.said(row['high'])}"
        bars.append(Mark(x(row["low"]), middle, x(row["high"]) - x(row["low"]), 0, said, css))
        points.append(Mark(x(row["estimate"]), middle, text=said, css=css))
        labels_y.append(Label(left - 14, middle + 4, row["name"]))
    return Drawing(
        height,
        bars=bars,
        points=points,
        rules=[Mark(x(0), TOP, 0, height - TOP - BOTTOM)],
        labels_x=[Label(x(value), height - BOTTOM + 18, unit.axis(value)) for value in steps],
        labels_y=labels_y,
    )


class _Scale:
    """Converts values to heights, over round ticks."""

    def __init__(self, low: float, high: float, *, unit: str = "number") -> None:
        self._ticks = ticks(low, high)
        self._unit = UNITS[unit]

    def y(self, value: float) -> float:
        low, high = self._ticks[0], self._ticks[-1]
        return round(HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM), 2)

    def text(self, value: float) -> str:
        return self._unit.said(value)

    def labels(self) -> list[Label]:
        return [Label(LEFT - 8, self.y(value) + 4, self._unit.axis(value)) for value in self._ticks]


def _thinned(positions: Sequence[float], labels: Sequence[str]) -> list[Label]:
    """Return so few labels that they do not overlap. The last one is always among them."""
    every = max(1, math.ceil(len(labels) / _MOST_LABELS))
    last = len(labels) - 1
    return [
        Label(x, HEIGHT - BOTTOM + 20, text)
        for index, (x, text) in enumerate(zip(positions, labels, strict=True))
        if (last - index) % every == 0
    ]


def _path(positions: Sequence[float], values: Sequence[float | None], scale: _Scale) -> str:
    parts, is_drawing = [], False
    for x, value in zip(positions, values, strict=True):
        if value is None:
            is_drawing = False
            continue
        parts.append(f"{'L' if is_drawing else 'M'}{x:.2f} {scale.y(value)}")
        is_drawing = True
    return " ".join(parts)


def _area(
    positions: Sequence[float], lows: Sequence[float | None], highs: Sequence[float | None], scale: _Scale
) -> str:
    known = [
        (x, low, high)
        for x, low, high in zip(positions, lows, highs, strict=True)
        if low is not None and high is not None
    ]
    if not known:
        return ""
    there = [f"{x:.2f} {scale.y(high)}" for x, _, high in known]
    back = [f"{x:.2f} {scale.y(low)}" for x, low, _ in reversed(known)]
    return f"M{' L'.join([*there, *back])} Z"


def number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.4g}"


def share(value: float) -> str:
    """Return a share from 0 to 1 in percent."""
    return f"{100 * value:.4g} %"


@dataclass(frozen=True, slots=True)
class _Unit:
    """How a figure is written: short beside an axis, in full in a tooltip."""

    axis: Callable[[float], str]
    said: Callable[[float], str]


UNITS = {
    "number": _Unit(number, number),
    "percent": _Unit(share, share),
    # Percentage points between two shares from 0 to 1. The chart's words name the shares.
    "points": _Unit(lambda value: f"{100 * value:.4g}", lambda value: f"{100 * value:+.4g} points"),
}
