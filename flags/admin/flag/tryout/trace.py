"""An evaluation's trace, step by step, in words for product managers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flags.admin.flag.sentences import describe_condition
from flags.documents import percent_of, unit_names


@dataclass(frozen=True, slots=True)
class Line:
    """One line. `depth` is its indentation; `holds` is None if the step tests nothing."""

    text: str
    depth: int = 0
    holds: bool | None = None
    decides: bool = False
    why: str = ""


def readable(steps: Sequence[Mapping[str, Any]]) -> list[Line]:
    """Return the lines of a trace, in the order of the decision."""
    return [line for step in steps for line in _step(step)]


def _step(step: Mapping[str, Any]) -> Iterator[Line]:
    decides, why = bool(step["decides"]), str(step.get("because", ""))
    match step["step"]:
        case "kill_switch":
            yield Line(f"The kill switch is {'on' if step['active'] else 'off'}.", decides=decides)
        case "enabled":
            yield Line(f"The flag is {'on' if step['enabled'] else 'off'}.", decides=decides)
        case "unit":
            yield Line(_unit(step), decides=decides)
        case "prerequisite":
            gave = f", gave {step['variant']}" if step.get("variant") is not None else ""
            wanted = " or ".join(step["wanted"])
            yield Line(f"Needs {step['flagKey']} to give {wanted}{gave}.", 0, bool(step["met"]), decides, why)
        case "targets":
            found = step["variant"]
            text = f"Listed for {found}." if found else "Not listed for any variant."
            yield Line(text, 0, found is not None, decides)
        case "rule":
            yield from _rule(step, decides=decides, why=why)
        case "experiment":
            text = "Takes part in the experiment" if step["participates"] else "Does not take part in the experiment"
            shown = f"{text}: bucket {step['layerBucket']} of its layer.{_placed(step)}"
            yield Line(shown, 0, bool(step["participates"]), decides, why)
            if "audience" in step:
                yield from _condition(step["audience"], 1)
        case "rollout":
            yield Line(f"Default rollout.{_placed(step)}", 0, step["variant"] is not None, decides, why)
        case "default":
            yield Line(f"The default variant, {step['variant']}.", 0, None, decides, why)
        case other:
            yield Line(str(other).replace("_", " ").capitalize() + ".", 0, None, decides, why)


def _unit(step: Mapping[str, Any]) -> str:
    names = unit_names(step["bucketBy"])
    if step["unit"] is None:
        return f"Bucketed by {' or '.join(names)}: not given."
    found = f"{step['attribute']}, the first there of {', '.join(names)}" if len(names) > 1 else names[0]
    return f"Bucketed by {found}: {step['unit']}."


def _rule(step: Mapping[str, Any], *, decides: bool, why: str) -> Iterator[Line]:
    name = f"Rule “{step['name']}”" if step["name"] else f"Rule {step['priority']}"
    matched = bool(step["matched"])
    yield Line(f"{name} {'applies' if matched else 'does not apply'}.{_placed(step)}", 0, matched, decides, why)
    shown = step["conditions"]
    for condition in shown if isinstance(shown, list) else [shown]:
        yield from _condition(condition, 1)


def _placed(step: Mapping[str, Any]) -> str:
    """Say where the unit's bucket lies, for steps that divide users."""
    if "bucket" not in step:
        return ""
    bucket, found = step["bucket"], step.get("range")
    if found is None:
        return f" Bucket {bucket} is covered by no share."
    low, high = percent_of(found[0]), percent_of(found[1])
    return f" Bucket {bucket} lies in {low} % to {high} %: {step['variant']}."


def _condition(shown: Mapping[str, Any], depth: int) -> Iterator[Line]:
    holds = bool(shown["matched"])
    for group, words in (("all", "All of these hold"), ("any", "Any of these holds"), ("not", "This does not hold")):
        if group in shown:
            yield Line(f"{words}:", depth, holds)
            inner = shown[group] if isinstance(shown[group], list) else [shown[group]]
            for item in inner:
                yield from _condition(item, depth + 1)
            return
    condition = {"operator": shown["operator"], "attribute": shown.get("attribute"), "value": shown.get("wanted")}
    seen = f" - it is {shown['seen']!r}" if shown.get("seen") is not None else ""
    yield Line(f"{describe_condition(condition)}{seen}", depth, holds, why=str(shown.get("because", "")))
    for segment in shown.get("segments", []):
        said = "is in" if segment["matched"] else "is not in"
        why = str(segment.get("because", ""))
        yield Line(f"{said} segment {segment['segment']}", depth + 1, bool(segment["matched"]), why=why)
        if "conditions" in segment:
            yield from _condition(segment["conditions"], depth + 2)
