/** One evaluation, or those of all flags for one context: what was asked for before is not computed again. */

import type { Outcome } from "./answer.js";
import type { BoundFlag } from "./bound-flag.js";
import type { Scope } from "./conditions.js";
import type { Context } from "./context.js";
import type { CompiledSegment } from "./filed.js";

/** What an environment has. */
export interface Lookup {
  /** The flag; undefined where there is none. Throws where it cannot be evaluated. */
  boundFlag(key: string): BoundFlag | undefined;
  /** Whether the flag `from` can meet a prerequisite on this flag at all. */
  canMeet(flagKey: string, from: string): boolean;
  /** The segment, where `from`, another segment or undefined for a flag, can see it. */
  segment(key: string, from: string | undefined): CompiledSegment | undefined;
}

export class Evaluating implements Scope {
  readonly #lookup: Lookup;
  readonly #outcomes = new Map<string, Outcome>();
  readonly #memberships = new Map<CompiledSegment, boolean>();

  constructor(lookup: Lookup) {
    this.#lookup = lookup;
  }

  /** The outcome of a flag; undefined where there is none. Throws where it cannot be evaluated. */
  outcomeOf(key: string, context: Context): Outcome | undefined {
    const known = this.#outcomes.get(key);
    if (known !== undefined) return known;
    const outcome = this.#lookup.boundFlag(key)?.outcome(context, this);
    if (outcome !== undefined) this.#outcomes.set(key, outcome);
    return outcome;
  }

  isMember(segmentKey: string, context: Context, from: string | undefined): boolean {
    const segment = this.#lookup.segment(segmentKey, from);
    if (segment === undefined) return false;
    const known = this.#memberships.get(segment);
    if (known !== undefined) return known;
    const isMember = segment.has(context, this);
    this.#memberships.set(segment, isMember);
    return isMember;
  }

  variantOf(flagKey: string, context: Context, from: string): string | undefined {
    if (!this.#lookup.canMeet(flagKey, from)) return undefined;
    return this.outcomeOf(flagKey, context)?.answer.variant ?? undefined;
  }
}

/** For flags that ask for nothing else. */
export const NO_SCOPE: Scope = { isMember: () => false, variantOf: () => undefined };
