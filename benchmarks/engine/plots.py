"""Bars on a logarithmic scale as SVG text: one shape of chart does not earn a plotting library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from pathlib import Path

WIDTH, LABELS, RIGHT, ROW, TOP = 720, 170, 90, 24, 64
OURS, THEIRS, FLOOR = "#1f6feb", "#8c959f", "#1a7f37"


def bar_chart(path: Path, title: str, unit: str, bars: Sequence[tuple[str, float]], *, ours: str, floor: str) -> None:
    """One bar per (name, value), in the order given; a decade of the scale has the same length everywhere."""
    low = 10 ** math.floor(math.log10(min(value for _, value in bars)) - 0.3)
    decades = math.log10(max(value for _, value in bars) * 1.1 / low)
    height = TOP + ROW * len(bars) + 36
    room = WIDTH - LABELS - RIGHT

    def x(value: float) -> float:
        return LABELS + math.log10(value / low) / decades * room

    body = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        'font-family="sans-serif" font-size="12">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="16" y="24" font-size="15" font-weight="bold">{escape(title)}</text>',
        f'<text x="16" y="44" fill="#57606a">{escape(unit)}, logarithmic scale; shorter is faster</text>',
    ]
    tick = low
    while tick <= low * 10**decades:
        body.append(
            f'<line x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{TOP - 6}" y2="{height - 30}" stroke="#d0d7de"/>'
            f'<text x="{x(tick):.1f}" y="{height - 14}" text-anchor="middle" fill="#57606a">{tick:,.10g}</text>'
        )
        tick *= 10
    for number, (name, value) in enumerate(bars):
        y = TOP + ROW * number
        colour = OURS if name == ours else FLOOR if name == floor else THEIRS
        weight = ' font-weight="bold"' if name == ours else ""
        shown = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
        body.append(
            f'<text x="{LABELS - 8}" y="{y + 14}" text-anchor="end"{weight}>{escape(name)}</text>'
            f'<rect x="{LABELS}" y="{y + 2}" width="{x(value) - LABELS:.1f}" height="{ROW - 8}" fill="{colour}"/>'
            f'<text x="{x(value) + 6:.1f}" y="{y + 14}"{weight}>{shown}</text>'
        )
    path.write_text("\n".join([*body, "</svg>", ""]))
