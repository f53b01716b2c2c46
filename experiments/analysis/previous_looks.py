"""What always-valid looks have shown before: their p-values hold at all times together, so the smallest one stands."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from experiments.analysis.window import Window
from experiments.models import Experiment, ExperimentResult


@dataclass(frozen=True, slots=True)
class EarlierLook:
    """One comparison at a stored look: its own p-value, and the difference as it stood."""

    at: datetime
    p_value: float
    diff: float


EarlierLooks = Mapping[tuple[str, str], Sequence[EarlierLook]]


def earlier_looks(experiment: Experiment, window: Window) -> EarlierLooks:
    """The stored looks of the phase before the window's end, by metric and variant; none for the other methods.

    Only looks that were really made and kept count: a result computed again finds the same ones.
    """
    found: dict[tuple[str, str], list[EarlierLook]] = defaultdict(list)
    if experiment.method != Experiment.Method.ALWAYS_VALID or window.since != window.phase.started_at:
        return found
    rows = ExperimentResult.objects.filter(phase=window.phase, since=window.since, until__lt=window.until)
    for until, comparisons in rows.order_by("until", "computed_at").values_list("until", "payload__comparisons"):
        for item in comparisons:
            # Results stored before looks were kept apart carry their own p-value under the other name.
            own = item.get("lookPValue", item["sequentialPValue"])
            if own is not None and item["absoluteLift"] is not None:
                found[item["metric"], item["variant"]].append(EarlierLook(until, own, item["absoluteLift"]))
    return found


def smallest(
    looks: Sequence[EarlierLook], p_value: float | None, diff: float | None
) -> tuple[float | None, str | None]:
    """The running minimum, and a note where an earlier look made it.

    Looks at which the difference pointed the other way are left out: a claim is about a direction, and leaving looks
    out only makes the minimum larger.
    """
    if p_value is None or diff is None:
        return p_value, None
    same = [look for look in looks if look.diff * diff > 0 and look.p_value < p_value]
    if not same:
        return p_value, None
    best = min(same, key=lambda look: (look.p_value, look.at))
    return best.p_value, f"the smallest sequential p-value is that of {best.at:%Y-%m-%d %H:%M} (now {p_value:.2g})"
