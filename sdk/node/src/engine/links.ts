/** How flags and segments depend on one another: cycles, depth, and what a broken dependency reaches. */

import type { CompiledFlag, CompiledSegment } from "./filed.js";

/** For each node the nodes that it asks for. */
export type Graph = ReadonlyMap<string, readonly string[]>;

const MOST_PREREQUISITE_DEPTH = 10;

/** The members of cycles, each with the number of its group of nodes that reach one another (Tarjan, iterative). */
export function cyclicGroups(graph: Graph): ReadonlyMap<string, number> {
  const order = new Map<string, number>();
  const lowest = new Map<string, number>();
  const stack: string[] = [];
  const onStack = new Set<string>();
  const groups = new Map<string, number>();
  const lower = (node: string, to: number) => lowest.set(node, Math.min(lowest.get(node) as number, to));
  const enter = (node: string) => {
    order.set(node, order.size);
    lowest.set(node, order.get(node) as number);
    stack.push(node);
    onStack.add(node);
    return { node, others: (graph.get(node) ?? []).values() };
  };
  for (const root of graph.keys()) {
    if (order.has(root)) continue;
    const work = [enter(root)];
    for (let step = work.at(-1); step !== undefined; step = work.at(-1)) {
      const { node, others } = step;
      const next = others.next();
      if (next.done !== true) {
        if (!order.has(next.value)) work.push(enter(next.value));
        else if (onStack.has(next.value)) lower(node, order.get(next.value) as number);
        continue;
      }
      work.pop();
      const parent = work.at(-1)?.node;
      if (parent !== undefined) lower(parent, lowest.get(node) as number);
      if (lowest.get(node) !== order.get(node)) continue;
      const members = stack.splice(stack.lastIndexOf(node));
      for (const member of members) onStack.delete(member);
      if (members.length > 1 || graph.get(node)?.includes(node)) {
        for (const member of members) groups.set(member, order.get(node) as number);
      }
    }
  }
  return groups;
}

/** The wanted nodes, and all from which one of them can be reached. */
export function reaching(graph: Graph, wanted: Iterable<string>): ReadonlySet<string> {
  const found = new Set(wanted);
  for (let before = -1; before !== found.size && found.size > 0; ) {
    before = found.size;
    for (const [node, others] of graph) {
      if (others.some((other) => found.has(other))) found.add(node);
    }
  }
  return found;
}

/** Flags whose prerequisites fail for every input: those in a cycle, or above a chain deeper than 10. */
export function unmeetable(graph: Graph): ReadonlySet<string> {
  const cyclic = cyclicGroups(graph);
  const depths = new Map<string, number>();
  for (const key of cyclic.keys()) depths.set(key, 0);
  for (const root of graph.keys()) {
    const work = [root];
    for (let node = work.at(-1); node !== undefined; node = work.at(-1)) {
      const others = graph.get(node) ?? [];
      const missing = depths.has(node) ? [] : others.filter((other) => !depths.has(other));
      if (missing.length > 0) {
        work.push(...missing);
        continue;
      }
      work.pop();
      if (!depths.has(node)) depths.set(node, Math.max(-1, ...others.map((one) => depths.get(one) as number)) + 1);
    }
  }
  const deep = [...depths].filter(([, depth]) => depth > MOST_PREREQUISITE_DEPTH).map(([key]) => key);
  return new Set([...cyclic.keys(), ...deep]);
}

/** What the links of an environment's segments and flags mean for evaluations. */
export class Links {
  /** Segments that serve an earlier version, and those that ask for one. */
  readonly held: ReadonlySet<string>;
  /** Segments that cannot be evaluated, and those that ask for one. */
  readonly broken: ReadonlySet<string>;
  readonly #unmeetable: ReadonlySet<string>;
  readonly #groups: ReadonlyMap<string, number>;

  constructor(flags: ReadonlyMap<string, CompiledFlag>, segments: ReadonlyMap<string, CompiledSegment>) {
    const asked = (flag: CompiledFlag) => (flag.definition?.prerequisites ?? []).map(({ flagKey }) => flagKey);
    this.#unmeetable = unmeetable(graphOf(flags, asked));
    const graph = graphOf(segments, (segment) => segment.segmentKeys);
    this.#groups = cyclicGroups(graph);
    const keysOf = (holds: (segment: CompiledSegment) => boolean) =>
      [...segments].filter(([, segment]) => holds(segment)).map(([key]) => key);
    this.held = reaching(
      graph,
      keysOf((segment) => segment.isHeld),
    );
    this.broken = reaching(
      graph,
      keysOf((segment) => segment.isBroken),
    );
  }

  /** Whether a flag's prerequisites can be met: it is in no cycle, and above no chain that is too deep. */
  isMeetable(flagKey: string): boolean {
    return !this.#unmeetable.has(flagKey);
  }

  /** Whether a segment cannot see another, because both are in one cycle. */
  isCut(from: string, key: string): boolean {
    const group = this.#groups.get(from);
    return group !== undefined && this.#groups.get(key) === group;
  }
}

function graphOf<Item>(items: ReadonlyMap<string, Item>, asked: (item: Item) => readonly string[]): Graph {
  const graph = new Map<string, readonly string[]>();
  for (const [key, item] of items) {
    const others = asked(item);
    if (others.length > 0) graph.set(key, others);
  }
  return graph;
}
