/** Turns condition trees into functions. */

import type { Context } from "./context.js";
import type { Node } from "./model.js";

/** What one evaluation asks its environment. */
export interface Scope {
  /** Whether the context is in a segment. `from` is the segment that asks; undefined for a flag. */
  isMember(segmentKey: string, context: Context, from: string | undefined): boolean;
  /** The variant that another flag gives; undefined where it can meet no prerequisite of the flag `from`. */
  variantOf(flagKey: string, context: Context, from: string): string | undefined;
}

export type Test = (context: Context, scope: Scope) => boolean;

/** The flag or segment whose tree it is. */
export interface Subject {
  readonly key: string;
  readonly isSegment: boolean;
}

/** The function that says whether a tree holds; a boolean where it holds for everybody, or for nobody. */
export function compileTree(node: Node, subject: Subject): Test | boolean {
  switch (node.kind) {
    case "fault":
      return false;
    case "attribute": {
      const { attribute, operator, prepared } = node;
      const holds = operator.predicate(prepared as never);
      return (context) => holds(context.read(attribute, subject.key));
    }
    case "segments":
      return compileSegments(node.keys, node.isNegated, subject);
    case "not": {
      const inner = compileTree(node.node, subject);
      return typeof inner === "boolean" ? !inner : (context, scope) => !inner(context, scope);
    }
    default:
      return compileGroup(node.nodes, node.kind === "all", subject);
  }
}

function compileSegments(keys: readonly string[], isNegated: boolean, { key, isSegment }: Subject): Test | boolean {
  if (keys.length === 0) return isNegated;
  const from = isSegment ? key : undefined;
  return (context, scope) => keys.some((one) => scope.isMember(one, context, from)) !== isNegated;
}

/** `neutral` says what an empty group is: true where all have to hold, false where any has to. */
function compileGroup(nodes: readonly Node[], neutral: boolean, subject: Subject): Test | boolean {
  const parts = nodes.map((child) => compileTree(child, subject));
  if (parts.includes(!neutral)) return !neutral;
  const tests = parts.filter((part) => typeof part !== "boolean");
  const [first, second, ...others] = tests;
  if (first === undefined) return neutral;
  if (second === undefined) return first;
  if (others.length === 0) {
    return neutral
      ? (context, scope) => first(context, scope) && second(context, scope)
      : (context, scope) => first(context, scope) || second(context, scope);
  }
  return (context, scope) => {
    for (const test of tests) if (test(context, scope) !== neutral) return !neutral;
    return neutral;
  };
}
