"""Numbers as somebody types them, with a point or a comma."""

import math

_MOST_CHARACTERS = 40


def typed_number(text: str) -> float | None:
    """None for what is no finite number, or one with more characters than anybody types."""
    if len(text) > _MOST_CHARACTERS:
        return None
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def typed_share(text: str) -> float | None:
    """A percentage above 0 and below 100 as a share; None for anything else."""
    value = typed_number(text)
    return value / 100 if value is not None and 0 < value < 100 else None
