"""What speaks against shipping a variant: the results' own words, which a person who ships it all the same answers."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shown:
    """What the results show of the variant somebody wants to ship.

    `verdict` and `verdict_reasons` are the decision's sentences, `is_recommended` whether it says to ship this variant.
    `ratio_failure` says how the sample ratio failed, and `harms` are the guardrails that it violates.
    """

    verdict: str
    verdict_reasons: tuple[str, ...]
    is_recommended: bool
    ratio_failure: str = ""
    harms: tuple[str, ...] = ()


def objections(shown: Shown) -> list[str]:
    """One sentence for each, the gravest first; none where the results recommend it and nothing failed."""
    found = [shown.ratio_failure] if shown.ratio_failure else []
    found += shown.harms
    if not shown.is_recommended:
        found += [f"The results say: {shown.verdict}", *shown.verdict_reasons]
    return list(dict.fromkeys(found))
