/** Flags and segments of an environment: their documents, and what serves them. */

import { FlagCode } from "./compile-flag.js";
import { compileTree, type Scope, type Test } from "./conditions.js";
import type { Context } from "./context.js";
import { type FlagDefinition, isUnderstood, type SegmentDefinition, segmentKeysOf, treesOf } from "./model.js";
import { readFlag, readKilledFlag, UnreadableError } from "./read-flag.js";
import { readSegment } from "./read-tree.js";
import { isObject } from "./values.js";

/** The document under the key where it stands, in case it names another. */
function under(key: string, document: unknown): unknown {
  return isObject(document) && document.key !== key ? { ...document, key } : document;
}

/**
 * A flag of an environment, and what serves it.
 *
 * A document that is not understood (unknown operator, type or shape) leaves the last version that was: `isHeld`. Its
 * kill switch is obeyed all the same. Without such a version `code` is undefined, and `problem` says why.
 */
export class CompiledFlag {
  readonly document: unknown;
  readonly code: FlagCode | undefined;
  readonly isUnderstood: boolean;
  readonly isHeld: boolean;
  readonly problem: string;
  readonly #understood: FlagDefinition | undefined;

  constructor(key: string, document: unknown, environmentSalt: string, previous?: CompiledFlag) {
    this.document = under(key, document);
    let definition: FlagDefinition | undefined;
    let problem = "conditions: Update the SDK, it does not understand this flag.";
    try {
      definition = readFlag(this.document);
    } catch (error) {
      if (!(error instanceof UnreadableError)) throw error;
      problem = error.message;
    }
    this.problem = problem;
    this.isUnderstood = definition !== undefined && treesOf(definition).every(isUnderstood);
    const before = previous === undefined ? undefined : previous.#understood;
    this.#understood = this.isUnderstood ? definition : before;
    if (definition === undefined) {
      definition = readKilledFlag(this.document);
    } else if (!this.isUnderstood && definition.killSwitchVariant === undefined && definition.isEnabled) {
      definition = undefined;
    }
    this.isHeld = definition === undefined && this.#understood !== undefined;
    if (this.isHeld) definition = { ...(this.#understood as FlagDefinition), killSwitchVariant: undefined };
    this.code = definition === undefined ? undefined : new FlagCode(definition, environmentSalt);
  }

  /** What serves; undefined where nothing does. */
  get definition(): FlagDefinition | undefined {
    return this.code?.definition;
  }
}

/**
 * A segment of an environment, and what serves it.
 *
 * As for flags, a document that is not understood leaves the last version that was (`isHeld`); without one it is
 * `isBroken`, and a flag that asks for the segment cannot be evaluated.
 */
export class CompiledSegment {
  readonly document: unknown;
  readonly isUnderstood: boolean;
  readonly isHeld: boolean;
  readonly #definition: SegmentDefinition | undefined;
  readonly #test: Test | boolean;

  constructor(key: string, document: unknown, previous?: CompiledSegment) {
    this.document = under(key, document);
    const definition = readSegment(this.document);
    this.isUnderstood =
      definition !== undefined && (definition.conditions === undefined || isUnderstood(definition.conditions));
    const before = previous === undefined ? undefined : previous.#definition;
    this.#definition = this.isUnderstood ? definition : before;
    this.isHeld = !this.isUnderstood && this.#definition !== undefined;
    const tree = this.#definition?.conditions;
    this.#test = tree === undefined ? false : compileTree(tree, { key, isSegment: true });
  }

  get isBroken(): boolean {
    return this.#definition === undefined;
  }

  /** The segments that it asks for itself. */
  get segmentKeys(): readonly string[] {
    return [...segmentKeysOf(this.#definition?.conditions)];
  }

  /** Whether the context is in it. */
  has(context: Context, scope: Scope): boolean {
    const { userId } = context;
    const definition = this.#definition;
    if (definition === undefined) return false;
    if (userId !== undefined && definition.excluded.has(userId)) return false;
    if (userId !== undefined && definition.included.has(userId)) return true;
    return typeof this.#test === "boolean" ? this.#test : this.#test(context, scope);
  }
}
