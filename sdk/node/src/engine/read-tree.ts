/** Reads condition trees and segments from JSON documents. What it does not know becomes a fault, never an error. */

import type { Node, SegmentDefinition } from "./model.js";
import { IN_SEGMENT, MalformedValueError, NOT_IN_SEGMENT, OPERATORS } from "./operators.js";
import { NoPatternsError } from "./patterns.js";
import { isObject, type JsonObject } from "./values.js";

const GROUPS = ["all", "any", "not"] as const;
// A foreign document may be deeper than ours ever are. Past this depth it is not read.
const MOST_DEPTH = 25;

const UNKNOWN_SHAPE: Node = { kind: "fault", fault: "unknown_shape" };
const UNKNOWN_OPERATOR: Node = { kind: "fault", fault: "unknown_operator" };
const MALFORMED: Node = { kind: "fault", fault: "malformed_condition" };

/** A condition, or a group of all, any or not. */
export function readTree(document: unknown, depth = 0): Node {
  if (!isObject(document)) return UNKNOWN_SHAPE;
  const groups = GROUPS.filter((name) => Object.hasOwn(document, name));
  const [group] = groups;
  if (group === undefined) return readCondition(document);
  if (groups.length > 1 || Object.hasOwn(document, "operator") || depth === MOST_DEPTH) return UNKNOWN_SHAPE;
  if (group === "not") return { kind: "not", node: readTree(document.not, depth + 1) };
  return { kind: group, nodes: readNodes(document[group], depth + 1) };
}

/** A rule's conditions: a list, all of which have to hold, or a tree. */
export function readRuleConditions(document: unknown): Node {
  return isObject(document) ? readTree(document) : { kind: "all", nodes: readNodes(document, 0) };
}

function readNodes(document: unknown, depth: number): readonly Node[] {
  return Array.isArray(document) ? document.map((item) => readTree(item, depth)) : [UNKNOWN_SHAPE];
}

function readCondition(document: JsonObject): Node {
  const { operator: name, attribute, value } = document;
  if (name === IN_SEGMENT || name === NOT_IN_SEGMENT) {
    const isListed = Array.isArray(value) && value.every((item) => typeof item === "string" && item !== "");
    return isListed ? { kind: "segments", keys: value as string[], isNegated: name === NOT_IN_SEGMENT } : MALFORMED;
  }
  const operator = typeof name === "string" ? OPERATORS.get(name) : undefined;
  if (operator === undefined) return UNKNOWN_OPERATOR;
  if (typeof attribute !== "string" || attribute === "" || !attribute.isWellFormed()) return UNKNOWN_SHAPE;
  try {
    return { kind: "attribute", attribute, operator, prepared: operator.prepare(value) };
  } catch (error) {
    if (error instanceof MalformedValueError) return MALFORMED;
    // Nobody may be taken for one who does not match.
    if (error instanceof NoPatternsError) return UNKNOWN_OPERATOR;
    throw error;
  }
}

/** A segment; undefined where nothing of it can be read. */
export function readSegment(document: unknown): SegmentDefinition | undefined {
  if (!isObject(document) || typeof document.key !== "string") return undefined;
  const { conditions } = document;
  return {
    key: document.key,
    included: new Set(readUserIds(document.included)),
    excluded: new Set(readUserIds(document.excluded)),
    conditions: conditions === undefined || conditions === null ? undefined : readTree(conditions),
  };
}

/** User ids, without those that no user can have. */
export function readUserIds(document: unknown): string[] {
  if (!Array.isArray(document)) return [];
  return document.filter((id): id is string => typeof id === "string" && id !== "" && id.isWellFormed());
}
