/** A compiled environment: immutable. A change makes a new one, which shares what did not change. */

import { type Answer, failure, type Outcome } from "./answer.js";
import { BoundFlag, unitBy } from "./bound-flag.js";
import type { Context } from "./context.js";
import { Evaluating, type Lookup, NO_SCOPE } from "./evaluating.js";
import { CompiledFlag, CompiledSegment } from "./filed.js";
import { Links } from "./links.js";
import { type FlagDefinition, segmentKeysOf, treesOf } from "./model.js";
import { Sheet } from "./sheet.js";
import { isObject, type JsonObject } from "./values.js";

/** The version of the evaluation contract. A document's `contract` names the least version that it needs. */
export const CONTRACT = 1;

/** What this engine understands, by the names of the acknowledgement. */
export const FEATURES = ["rule_trees", "bucket_by_list", "experiment_split"] as const;

/** The document is no snapshot that this engine can serve. The message names the field and the remedy. */
export class DocumentError extends TypeError {
  override readonly name = "DocumentError";
}

/** A flag cannot be evaluated, because a segment that it asks for cannot be understood. */
class NotUnderstoodError extends Error {
  override readonly name = "NotUnderstoodError";
}

/** Documents by key; null removes one. */
export type Documents = { readonly [key: string]: unknown };

interface Parts {
  readonly header: JsonObject;
  readonly version: number;
  readonly stale: boolean;
  readonly flags: ReadonlyMap<string, CompiledFlag>;
  readonly segments: ReadonlyMap<string, CompiledSegment>;
  readonly links: Links;
}

/** Evaluates an environment's flags. Build it with `fromDocument`, follow changes with `replace`. */
export class Environment {
  readonly version: number;
  readonly stale: boolean;
  readonly flags: ReadonlyMap<string, CompiledFlag>;
  readonly #parts: Parts;
  // Each flag at this version, bound at its first evaluation.
  readonly #bound = new Map<string, BoundFlag>();
  // Made at the first question for all of them.
  #blank: Record<string, Answer> | undefined;
  #sheet: Sheet | undefined;
  readonly #lookup: Lookup = {
    boundFlag: (key) => this.#bound.get(key) ?? this.#bind(key),
    canMeet: (flagKey, from) =>
      this.#parts.links.isMeetable(from) && this.flags.get(flagKey)?.definition?.isEnabled === true,
    segment: (key, from) =>
      from !== undefined && this.#parts.links.isCut(from, key) ? undefined : this.#parts.segments.get(key),
  };

  private constructor(parts: Parts) {
    this.#parts = parts;
    this.version = parts.version;
    this.stale = parts.stale;
    this.flags = parts.flags;
  }

  /**
   * Compiles a snapshot. `previous` gives the versions that it understood of what is not understood here.
   *
   * Throws `DocumentError` only where the document as a whole is no snapshot, or needs a later contract.
   */
  static fromDocument(document: unknown, previous?: Environment): Environment {
    const { header, version, flags, segments } = checked(document);
    const salt = saltOf(header);
    const before = previous === undefined ? undefined : previous.#parts;
    const compiled = {
      flags: mapped(flags, (key, flag) => new CompiledFlag(key, flag, salt, before?.flags.get(key))),
      segments: mapped(segments, (key, one) => new CompiledSegment(key, one, before?.segments.get(key))),
    };
    return new Environment({ header, version, stale: false, ...compiled, links: linksOf(compiled) });
  }

  /** A new environment with these documents in place of the old ones. */
  replace(version: number, flags: Documents = {}, segments: Documents = {}): Environment {
    const { header, flags: oldFlags, segments: oldSegments, links } = this.#parts;
    const salt = saltOf(header);
    const compiled = {
      flags: merged(oldFlags, flags, (key, flag) => new CompiledFlag(key, flag, salt, oldFlags.get(key))),
      segments: merged(oldSegments, segments, (key, one) => new CompiledSegment(key, one, oldSegments.get(key))),
    };
    const isLinkedAlike = compiled.flags === oldFlags && compiled.segments === oldSegments;
    return new Environment({ ...this.#parts, ...compiled, version, links: isLinkedAlike ? links : linksOf(compiled) });
  }

  /** The same configuration with answers that are marked stale, or not. */
  withStaleness(stale: boolean): Environment {
    return stale === this.stale ? this : new Environment({ ...this.#parts, stale });
  }

  /** The outcome for one flag; without one, the caller's default with reason ERROR. Never throws. */
  evaluate(key: string, context: Context, otherwise: unknown = null): Outcome {
    try {
      const bound = this.#bound.get(key) ?? this.#bind(key);
      if (bound === undefined) return failure(otherwise, "FLAG_NOT_FOUND", undefined, this.version, this.stale);
      return bound.outcome(context, bound.isLinked ? new Evaluating(this.#lookup) : NO_SCOPE);
    } catch (error) {
      return this.#failed(otherwise, error);
    }
  }

  /** The outcomes of all flags, or of the named ones. Never throws. */
  evaluateAll(context: Context, keys?: Iterable<string>): Map<string, Outcome> {
    const outcomes = new Map<string, Outcome>();
    this.visitAll(context, keys, (key, outcome) => outcomes.set(key, outcome));
    return outcomes;
  }

  /** The same, each told to `visit` in turn: whoever wants another form than a map is spared it. */
  visitAll(context: Context, keys: Iterable<string> | undefined, visit: (key: string, outcome: Outcome) => void): void {
    const scope = new Evaluating(this.#lookup);
    if (keys !== undefined) {
      for (const key of keys) visit(key, this.#outcomeIn(scope, key, context));
      return;
    }
    this.#sheet ??= new Sheet(this.flags.keys(), (key) => this.#boundOrNone(key));
    this.#sheet.visit(context, (key, outcome) => visit(key, outcome ?? this.#outcomeIn(scope, key, context)));
  }

  /** One of many outcomes for one context. */
  #outcomeIn(scope: Evaluating, key: string, context: Context): Outcome {
    let outcome: Outcome | undefined;
    try {
      const bound = this.#bound.get(key) ?? this.#bind(key);
      // What other flags may ask for is kept; most flags are nobody's prerequisite.
      outcome = bound?.isLinked ? scope.outcomeOf(key, context) : bound?.outcome(context, NO_SCOPE);
    } catch (error) {
      outcome = this.#failed(null, error);
    }
    return outcome ?? failure(null, "FLAG_NOT_FOUND", undefined, this.version, this.stale);
  }

  #boundOrNone(key: string): BoundFlag | undefined {
    try {
      return this.#bound.get(key) ?? this.#bind(key);
    } catch (error) {
      // Each evaluation says it.
      if (error instanceof NotUnderstoodError) return undefined;
      throw error;
    }
  }

  /** An object with a place for each flag's answer: to fill a copy takes a tenth of what to build one takes. */
  blank(): Record<string, Answer> {
    this.#blank ??= blankOf(this.flags.keys());
    return { ...this.#blank };
  }

  /** The unit that the flag hashes for this context; undefined without one, or for an unknown flag. */
  unit(key: string, context: Context): string | undefined {
    const flag = this.flags.get(key);
    return flag === undefined ? undefined : unitBy(flag.definition?.bucketBy ?? ["userId"], context);
  }

  /** Keys of the flags and segments whose present version this engine cannot serve, for the acknowledgement. */
  get notUnderstood(): { readonly flags: string[]; readonly segments: string[] } {
    const { flags, segments, links } = this.#parts;
    const isUnclear = (flag: CompiledFlag) =>
      !flag.isUnderstood || segmentsOf(flag.definition).some((key) => links.held.has(key) || links.broken.has(key));
    return {
      flags: keysWhere(flags, isUnclear),
      segments: keysWhere(segments, (segment) => !segment.isUnderstood),
    };
  }

  /** The environment's snapshot: `fromDocument` makes an equal environment from it. */
  get document(): JsonObject {
    const { header, version, flags, segments } = this.#parts;
    return {
      contract: CONTRACT,
      environment: header,
      version,
      flags: Object.fromEntries([...flags].map(([key, flag]) => [key, flag.document])),
      segments: Object.fromEntries([...segments].map(([key, segment]) => [key, segment.document])),
    };
  }

  #bind(key: string): BoundFlag | undefined {
    const flag = this.flags.get(key);
    if (flag === undefined) return undefined;
    const { code, isHeld, problem } = flag;
    if (code === undefined) throw new NotUnderstoodError(problem);
    const { links, version, stale } = this.#parts;
    const segmentKeys = [...code.segmentKeys];
    const broken = segmentKeys.find((one) => links.broken.has(one));
    if (broken !== undefined) {
      throw new NotUnderstoodError(`segments.${broken}: Update the SDK, it does not understand this segment.`);
    }
    for (const { flagKey } of code.isFixed ? [] : code.definition.prerequisites) {
      // What a prerequisite cannot be told, its flag cannot be told either.
      if (this.#lookup.canMeet(flagKey, key)) this.#lookup.boundFlag(flagKey);
    }
    const isBehind = isHeld || segmentKeys.some((one) => links.held.has(one));
    const stamp = { version, stale: stale || isBehind, detail: isBehind ? "not_understood" : undefined };
    const bound = new BoundFlag(code, stamp);
    this.#bound.set(key, bound);
    return bound;
  }

  #failed(otherwise: unknown, error: unknown): Outcome {
    const isKnown = error instanceof NotUnderstoodError;
    const detail = isKnown ? error.message : error instanceof Error ? error.name : typeof error;
    return failure(otherwise, isKnown ? "PARSE_ERROR" : "GENERAL", detail, this.version, this.stale);
  }
}

interface Checked {
  readonly header: JsonObject;
  readonly version: number;
  readonly flags: JsonObject;
  readonly segments: JsonObject;
}

/** The members of a snapshot. Throws `DocumentError`. */
function checked(document: unknown): Checked {
  if (!isObject(document)) throw new DocumentError("Give a snapshot, as an object.");
  const { contract, version, environment: header = {}, flags = {}, segments = {} } = document;
  if (!Number.isInteger(contract) || (contract as number) < 1 || (contract as number) > CONTRACT) {
    throw new DocumentError(
      `contract: This engine knows contract ${CONTRACT}, the document needs ${JSON.stringify(contract)}; update it.`,
    );
  }
  if (!Number.isInteger(version)) throw new DocumentError("version: Give a whole number.");
  if (!isObject(header) || !isObject(flags) || !isObject(segments)) {
    throw new DocumentError("environment, flags, segments: Give objects.");
  }
  return { header, version: version as number, flags, segments };
}

/** An object with a place for the answer of each key, whatever its name. */
export function blankOf(keys: Iterable<string>): Record<string, Answer> {
  const nothing = undefined as unknown as Answer;
  return Object.fromEntries(Array.from(keys, (key) => [key, nothing]));
}

function linksOf({ flags, segments }: Pick<Parts, "flags" | "segments">): Links {
  return new Links(flags, segments);
}

function saltOf({ salt }: JsonObject): string {
  return typeof salt === "string" ? salt : "";
}

function mapped<Item>(documents: JsonObject, make: (key: string, document: unknown) => Item): Map<string, Item> {
  return new Map(Object.entries(documents).map(([key, document]) => [key, make(key, document)]));
}

/** The items with those of `documents` in their place; the same map where there are none. */
function merged<Item>(
  items: ReadonlyMap<string, Item>,
  documents: Documents,
  make: (key: string, document: unknown) => Item,
): ReadonlyMap<string, Item> {
  const entries = Object.entries(documents);
  if (entries.length === 0) return items;
  const all = new Map(items);
  for (const [key, document] of entries) {
    if (document === null) all.delete(key);
    else all.set(key, make(key, document));
  }
  return all;
}

function keysWhere<Item>(items: ReadonlyMap<string, Item>, holds: (item: Item) => boolean): string[] {
  return [...items]
    .filter(([, item]) => holds(item))
    .map(([key]) => key)
    .sort();
}

function segmentsOf(definition: FlagDefinition | undefined): string[] {
  return definition === undefined ? [] : treesOf(definition).flatMap((tree) => [...segmentKeysOf(tree)]);
}
