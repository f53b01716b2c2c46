"""How flags and segments depend on one another: cycles, depth, and the effects of a broken dependency."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from openflagship.engine.model import FlagDefinition, SegmentDefinition, segment_keys_of
from openflagship.engine.problems import DocumentProblem

MAX_PREREQUISITE_DEPTH: Final = 10

Graph = Mapping[str, Sequence[str]]


def prerequisite_graph(flags: Iterable[FlagDefinition]) -> dict[str, list[str]]:
    """For every flag with prerequisites, the keys of those flags."""
    return {flag.key: [other.flag_key for other in flag.prerequisites] for flag in flags if flag.prerequisites}


def segment_graph(segments: Iterable[SegmentDefinition]) -> dict[str, list[str]]:
    """For every segment that uses others, their keys."""
    graph = {segment.key: list(dict.fromkeys(segment_keys_of(segment.conditions))) for segment in segments}
    return {key: others for key, others in graph.items() if others}


def cyclic_groups(graph: Graph) -> dict[str, int]:
    """The members of cycles, each with the number of the group of nodes that reach one another (Tarjan, iterative)."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    on_stack: set[str] = set()
    groups: dict[str, int] = {}
    for root in graph:
        if root in order:
            continue
        work = [(root, iter(graph[root]))]
        order[root] = lowest[root] = len(order)
        stack.append(root)
        on_stack.add(root)
        while work:
            node, others = work[-1]
            for other in others:
                if other not in order:
                    order[other] = lowest[other] = len(order)
                    stack.append(other)
                    on_stack.add(other)
                    work.append((other, iter(graph.get(other, ()))))
                    break
                if other in on_stack:
                    lowest[node] = min(lowest[node], order[other])
            else:
                work.pop()
                if work:
                    parent = work[-1][0]
                    lowest[parent] = min(lowest[parent], lowest[node])
                if lowest[node] == order[node]:
                    members: list[str] = []
                    while not members or members[-1] != node:
                        members.append(stack.pop())
                    on_stack.difference_update(members)
                    if len(members) > 1 or node in graph.get(node, ()):
                        groups.update(dict.fromkeys(members, order[node]))
    return groups


def reaching(graph: Graph, wanted: Iterable[str]) -> frozenset[str]:
    """The nodes in `wanted`, and all from which one of them can be reached."""
    found = set(wanted)
    while found:
        more = {node for node, others in graph.items() if node not in found and not found.isdisjoint(others)}
        if not more:
            break
        found |= more
    return frozenset(found)


def depths(graph: Graph) -> dict[str, int]:
    """The longest chain below each node that is not in a cycle; members of cycles count as 0."""
    cyclic = cyclic_groups(graph)
    known: dict[str, int] = dict.fromkeys(cyclic, 0)
    for root in graph:
        work = [root]
        while work:
            node = work[-1]
            if node in known:
                work.pop()
                continue
            missing = [other for other in graph.get(node, ()) if other not in known]
            if missing:
                work += missing
            else:
                known[node] = max((known[other] + 1 for other in graph.get(node, ())), default=0)
                work.pop()
    return known


def unmeetable(graph: Graph) -> frozenset[str]:
    """Flags whose prerequisites fail for every input: those in a cycle, or above a chain deeper than 10."""
    cyclic = cyclic_groups(graph)
    deep = {key for key, depth in depths(graph).items() if depth > MAX_PREREQUISITE_DEPTH}
    return frozenset(deep.union(cyclic))


def find_cycle(graph: Graph) -> tuple[str, ...] | None:
    """One cycle as the keys along it, the first repeated at the end; None where there is none."""
    cyclic = cyclic_groups(graph)
    if not cyclic:
        return None
    start = next(key for key in graph if key in cyclic)
    path, seen = [start], {start}
    while True:
        # In such a group every node has a successor, so the walk comes back to a node that it has passed.
        following = next(other for other in graph[path[-1]] if cyclic.get(other) == cyclic[start])
        if following in seen:
            return (*path[path.index(following) :], following)
        path.append(following)
        seen.add(following)


def find_prerequisite_cycle(flags: Mapping[str, FlagDefinition]) -> tuple[str, ...] | None:
    """One cycle of prerequisites, such as ("a", "b", "a"), or None."""
    return find_cycle(prerequisite_graph(flags.values()))


def find_segment_cycle(segments: Mapping[str, SegmentDefinition]) -> tuple[str, ...] | None:
    """One cycle of segments that use each other, or None."""
    return find_cycle(segment_graph(segments.values()))


def link_problems(
    flags: Mapping[str, FlagDefinition], segments: Mapping[str, SegmentDefinition]
) -> list[DocumentProblem]:
    """Problems between flags and between segments, which no single document shows."""
    problems = []
    cycle = find_prerequisite_cycle(flags)
    if cycle is not None:
        problems.append(_cycle_problem("flags", cycle, "prerequisites", "prerequisite_cycle"))
    for key, depth in depths(prerequisite_graph(flags.values())).items():
        if depth > MAX_PREREQUISITE_DEPTH:
            message = f"{key!r} stands on a chain of {depth} prerequisites; keep it to {MAX_PREREQUISITE_DEPTH}."
            problems.append(DocumentProblem(f"flags.{key}.prerequisites", "prerequisite_depth", message))
    for flag in flags.values():
        for number, prerequisite in enumerate(flag.prerequisites):
            other = flags.get(prerequisite.flag_key)
            known = {variant.key for variant in other.variants} if other is not None else set()
            path = f"flags.{flag.key}.prerequisites[{number}]"
            if other is None:
                message = f"There is no flag {prerequisite.flag_key!r} in this environment; name one there is."
                problems.append(DocumentProblem(f"{path}.flagKey", "unknown_flag", message))
            elif not known.issuperset(prerequisite.variants):
                message = f"{prerequisite.flag_key!r} has the variants {', '.join(sorted(known))}; list some of these."
                problems.append(DocumentProblem(f"{path}.variants", "unknown_variant", message))
    cycle = find_segment_cycle(segments)
    if cycle is not None:
        problems.append(_cycle_problem("segments", cycle, "conditions", "segment_cycle"))
    return problems


def _cycle_problem(collection: str, cycle: Sequence[str], field: str, code: str) -> DocumentProblem:
    message = f"{' → '.join(cycle)} is a cycle; remove one of its links."
    return DocumentProblem(f"{collection}.{cycle[0]}.{field}", code, message)
