"""Small line and dot charts as SVG text: two shapes of chart do not earn a plotting library."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

WIDTH, HEIGHT = 640, 320
LEFT, RIGHT, TOP, BOTTOM = 64, 150, 36, 44
GRID_STEP = 0.05
COLOURS = ("#1f6feb", "#d1242f", "#1a7f37", "#9a6700", "#8250df", "#57606a")


def _frame(title: str, labels: tuple[str, str], body: list[str], height: int = HEIGHT) -> str:
    x_label, y_label = labels
    middle = LEFT + (WIDTH - LEFT - RIGHT) / 2
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
            f'font-family="sans-serif" font-size="12">',
            f"<title>{escape(title)}</title>",
            f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
            f'<text x="{LEFT}" y="20" font-size="14" font-weight="bold">{escape(title)}</text>',
            *body,
            f'<text x="{middle}" y="{height - 8}" text-anchor="middle">{escape(x_label)}</text>',
            f'<text x="14" y="{height / 2}" text-anchor="middle" transform="rotate(-90 14 {height / 2})">'
            f"{escape(y_label)}</text>",
            "</svg>",
            "",
        ]
    )


def _y(value: float, top: float) -> float:
    return HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM)


def _grid(top: float) -> list[str]:
    body = []
    for tick in range(int(top / GRID_STEP) + 1):
        value = GRID_STEP * tick
        height = _y(value, top)
        body.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{height:.1f}" y2="{height:.1f}" stroke="#d0d7de"/>')
        body.append(f'<text x="{LEFT - 6}" y="{height + 4:.1f}" text-anchor="end">{100 * value:.3g} %</text>')
    return body


def line_chart(
    path: Path,
    title: str,
    labels: tuple[str, str],
    series: dict[str, Sequence[float]],
    *,
    target: float | None = None,
) -> None:
    """Shares over positions 1, 2, 3...; `target` is drawn as a dashed line."""
    longest = max(len(values) for values in series.values())
    top = 1.1 * max(max(values) for values in series.values())
    scale = (WIDTH - LEFT - RIGHT) / max(1, longest - 1)
    body = _grid(top)
    if target is not None:
        height = _y(target, top)
        body.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{height:.1f}" y2="{height:.1f}" stroke="#24292f" '
            f'stroke-dasharray="5 4"/>'
        )
    step = max(1, longest // 7)
    for position in range(0, longest, step):
        x = LEFT + position * scale
        body.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{position + 1}</text>')
    for colour, (index, (name, values)) in zip(COLOURS, enumerate(series.items()), strict=False):
        points = " ".join(f"{LEFT + i * scale:.1f},{_y(value, top):.1f}" for i, value in enumerate(values))
        body.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        row = TOP + 14 + 20 * index
        body.append(f'<rect x="{WIDTH - RIGHT + 12}" y="{row - 9}" width="10" height="10" fill="{colour}"/>')
        body.append(f'<text x="{WIDTH - RIGHT + 28}" y="{row}">{escape(name)}</text>')
    path.write_text(_frame(title, labels, body))


def dot_chart(
    path: Path,
    title: str,
    x_label: str,
    dots: dict[str, tuple[float, float]],
    *,
    low: float,
    high: float,
    target: float,
) -> None:
    """One row per (share, error), the error drawn three times to either side; an axis from `low` to `high`."""
    left, row_height = 250, 17
    height = TOP + row_height * len(dots) + BOTTOM
    floor = height - BOTTOM

    def x(value: float) -> float:
        return left + (min(max(value, low), high) - low) / (high - low) * (WIDTH - left - 20)

    body = []
    for tick in range(5):
        value = low + (high - low) * tick / 4
        body.append(f'<line x1="{x(value):.1f}" x2="{x(value):.1f}" y1="{TOP - 6}" y2="{floor}" stroke="#d0d7de"/>')
        body.append(f'<text x="{x(value):.1f}" y="{floor + 16}" text-anchor="middle">{100 * value:.4g} %</text>')
    body.append(
        f'<line x1="{x(target):.1f}" x2="{x(target):.1f}" y1="{TOP - 6}" y2="{floor}" stroke="#24292f" '
        f'stroke-dasharray="5 4"/>'
    )
    for index, (name, (value, error)) in enumerate(dots.items()):
        row = TOP + row_height * index + 6
        body.append(f'<text x="{left - 10}" y="{row + 4}" text-anchor="end" font-size="11">{escape(name)}</text>')
        body.append(
            f'<line x1="{x(value - 3 * error):.1f}" x2="{x(value + 3 * error):.1f}" y1="{row}" y2="{row}" '
            f'stroke="{COLOURS[0]}"/>'
        )
        body.append(f'<circle cx="{x(value):.1f}" cy="{row}" r="4" fill="{COLOURS[0]}"/>')
    path.write_text(_frame(title, (x_label, ""), body, height))
