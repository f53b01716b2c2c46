"""Checking a flag's prerequisites in its environment."""

from openflagship.engine import links

from flags.models import FlagConfig
from tenancy.errors import Problem


def prerequisite_problems(config: FlagConfig) -> list[Problem]:
    """Prerequisites must be active, name variants that exist, make no cycle and be at most 10 deep."""
    wanted = config.prerequisites
    if not wanted:
        return []
    own_key = config.flag.key
    others = config.environment.flag_configs.filter(flag__is_archived=False).exclude(flag__key=own_key)
    asked_for = {item["flagKey"] for item in wanted}
    variants = dict(others.filter(flag__key__in=asked_for).values_list("flag__key", "flag__variants"))
    problems: list[Problem] = []
    for index, prerequisite in enumerate(wanted):
        key = prerequisite["flagKey"]
        if key in variants:
            known = {variant["key"] for variant in variants[key]}
            problems += [
                Problem(
                    f"prerequisites[{index}].variants",
                    "unknown_variant",
                    f"{key!r} has no variant {variant!r}; it has: {', '.join(sorted(known))}.",
                )
                for variant in prerequisite["variants"]
                if variant not in known
            ]
        elif key != own_key:
            problems.append(
                Problem(f"prerequisites[{index}].flagKey", "unknown_flag", f"There is no active flag {key!r} here.")
            )
    if problems:
        return problems
    # Most flags have no prerequisites. They end a chain, so they are not read.
    asking = others.exclude(prerequisites=[]).values_list("flag__key", "prerequisites")
    graph = {key: [item["flagKey"] for item in prerequisites] for key, prerequisites in asking}
    graph[own_key] = [item["flagKey"] for item in wanted]
    cycle = links.find_cycle(graph)
    if cycle:
        return [
            Problem(
                "prerequisites",
                "prerequisite_cycle",
                f"These would wait for each other: {' → '.join(cycle)}. Remove one of them.",
            )
        ]
    deepest = max(links.depths(graph).values())
    if deepest > links.MAX_PREREQUISITE_DEPTH:
        return [
            Problem(
                "prerequisites",
                "prerequisite_depth",
                f"This would make a chain of {deepest} prerequisites; keep it to {links.MAX_PREREQUISITE_DEPTH}.",
            )
        ]
    return []
