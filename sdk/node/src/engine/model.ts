/** The decoded configuration: flags, rules, condition trees and segments, checked and ready. */

import type { Operator } from "./operators.js";

export type FlagType = "boolean" | "string" | "number" | "json";

/** A later version of the contract may have written it: the flag keeps the last version that was understood. */
export type NotUnderstoodFault = "unknown_operator" | "unknown_shape";
/** A malformed condition is a mistake in any version: it is false for everybody. */
export type Fault = NotUnderstoodFault | "malformed_condition";

/** One test of a tree. One with a fault is false for everybody. */
export type Leaf =
  | { readonly kind: "attribute"; readonly attribute: string; readonly operator: Operator; readonly prepared: unknown }
  | { readonly kind: "segments"; readonly keys: readonly string[]; readonly isNegated: boolean }
  | { readonly kind: "fault"; readonly fault: Fault };

export type Node =
  | Leaf
  | { readonly kind: "all" | "any"; readonly nodes: readonly Node[] }
  | { readonly kind: "not"; readonly node: Node };

/** Buckets `start` (included) to `end` (excluded) get the variant. */
export type AllocationRange = readonly [start: number, end: number, variant: string];

/** It serves `variant`, or where that is undefined its `allocation`. */
export interface Rule {
  readonly id: string;
  readonly priority: number;
  readonly conditions: Node;
  readonly variant: string | undefined;
  readonly allocation: readonly AllocationRange[];
}

/**
 * `id` is the key that answers report; `ranges` are the buckets of the layer that take part.
 *
 * With an `allocation` of its own, whoever takes no part goes on to the next step; without, the flag's allocation
 * splits the participants. `priority` is its place among the rules; undefined: after all of them.
 */
export interface Experiment {
  readonly id: string;
  readonly layerSalt: string;
  readonly ranges: readonly (readonly [start: number, end: number])[];
  readonly controlVariant: string;
  readonly audience: Node | undefined;
  readonly allocation: readonly AllocationRange[] | undefined;
  readonly priority: number | undefined;
}

export interface Prerequisite {
  readonly flagKey: string;
  readonly variants: ReadonlySet<string>;
}

export interface Target {
  readonly variant: string;
  readonly userIds: readonly string[];
}

/** A flag as one environment sees it; rules by ascending priority, allocations by bucket. */
export interface FlagDefinition {
  readonly key: string;
  readonly type: FlagType;
  /** Values by variant, in the order of the document. */
  readonly variants: ReadonlyMap<string, unknown>;
  readonly isEnabled: boolean;
  readonly defaultVariant: string;
  readonly offVariant: string;
  readonly killSwitchVariant: string | undefined;
  /** The first attribute that is there is the unit. */
  readonly bucketBy: readonly string[];
  readonly salt: string;
  readonly prerequisites: readonly Prerequisite[];
  readonly targets: readonly Target[];
  readonly rules: readonly Rule[];
  readonly experiment: Experiment | undefined;
  readonly allocation: readonly AllocationRange[];
  readonly metadata: Readonly<Record<string, string | number | boolean>>;
  /** Evaluations outside a running experiment are not logged as exposures. */
  readonly logsExperimentsAlone: boolean;
}

/** An audience: `excluded` wins over `included`, which wins over `conditions`. */
export interface SegmentDefinition {
  readonly key: string;
  readonly included: ReadonlySet<string>;
  readonly excluded: ReadonlySet<string>;
  readonly conditions: Node | undefined;
}

/** The leaves of a tree, in the document's order. */
export function* leavesOf(node: Node): Generator<Leaf> {
  if (node.kind === "not") {
    yield* leavesOf(node.node);
  } else if ("nodes" in node) {
    for (const child of node.nodes) yield* leavesOf(child);
  } else {
    yield node;
  }
}

/** The first fault of a tree. */
export function faultOf(node: Node): Fault | undefined {
  for (const leaf of leavesOf(node)) {
    if (leaf.kind === "fault") return leaf.fault;
  }
  return undefined;
}

/** Whether every operator and shape in it is known. */
export function isUnderstood(node: Node): boolean {
  for (const leaf of leavesOf(node)) {
    if (leaf.kind === "fault" && leaf.fault !== "malformed_condition") return false;
  }
  return true;
}

/** Every condition tree of a flag. */
export function treesOf(flag: FlagDefinition): Node[] {
  const trees = flag.rules.map((rule) => rule.conditions);
  return flag.experiment?.audience === undefined ? trees : [...trees, flag.experiment.audience];
}

/** The keys of the segments that a tree asks for, each once. */
export function segmentKeysOf(node: Node | undefined): Set<string> {
  const keys = new Set<string>();
  for (const leaf of node === undefined ? [] : leavesOf(node)) {
    if (leaf.kind === "segments") for (const key of leaf.keys) keys.add(key);
  }
  return keys;
}
