"""The sentences of a decision: figures in plain words, the same on every surface."""

from collections.abc import Sequence

from experiments.decisions.evidence import DecidingEffect, GuardrailEvidence, Interval, Progress, Scale


def percent(fraction: float) -> str:
    """A signed percentage with one decimal: `+5.0 %`; a true minus sign would break CSV readers."""
    return f"{100 * fraction:+.1f} %"


def difference(value: float, scale: Scale) -> str:
    return f"{100 * value:+.2f} points" if scale is Scale.RATE else f"{value:+,.4g}"


def interval(found: Interval, scale: Scale) -> str:
    low, high = found
    if scale is Scale.RATE:
        return f"{100 * low:+.2f} to {100 * high:+.2f} points"
    return f"{low:+,.4g} to {high:+,.4g}"


def effect(found: DecidingEffect, control: str) -> str:
    """One sentence without its full stop: metric, variant, difference, lift, interval."""
    if found.difference is None:
        why = f": {found.reason}" if found.reason else ""
        return f"{found.metric}: {found.variant} cannot be compared with {control} yet{why}"
    lift = "" if found.lift is None else f" (lift {percent(found.lift)})"
    words = f"{found.metric}: {found.variant} {difference(found.difference, found.scale)}{lift} against {control}"
    if found.interval is not None:
        words += f", interval {interval(found.interval, found.scale)}"
    return words


def significance(found: DecidingEffect) -> str:
    if found.is_significant is None:
        return "no test is possible yet" + (f": {found.reason}" if found.reason else "")
    return "significant" if found.is_significant else "not significant"


def effect_with_significance(found: DecidingEffect, control: str) -> str:
    if found.difference is None:
        return f"{effect(found, control)}."
    return f"{effect(found, control)}; {significance(found)}."


def harm(found: GuardrailEvidence, control: str) -> str:
    by = "" if found.lift is None else f" ({percent(found.lift)} against {control})"
    return f"{found.metric} is worse for {found.variant}{by}; the margin is {found.margin_percent:g} %."


def progress(found: Progress) -> str:
    if found.planned_users:
        return f"{found.complete_users:,} of {found.planned_users:,} planned users have a complete conversion window."
    return f"{found.complete_users:,} of {found.users:,} users have a complete conversion window."


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
