/**
 * All flags of an environment beside each other, for answers to all of them at once.
 *
 * A flag evaluated by itself is a dozen objects, each elsewhere in memory. Asked for a thousand flags, a processor waits
 * for them most of the time. So flags that a bucket alone decides stand here as rows of numbers.
 */

import type { Outcome } from "./answer.js";
import type { BoundFlag } from "./bound-flag.js";
import type { Context } from "./context.js";
import { BUCKETS, hashOf } from "./hash.js";

/** A flag that the unit's bucket decides, and nothing else. */
export interface SplitFlag {
  /** What the hash of a unit goes on from: state, rest, bits of the rest, and length of the prefix. */
  readonly prefix: readonly [state: number, rest: number, bits: number, length: number];
  readonly ranges: readonly { readonly start: number; readonly end: number; readonly outcome: Outcome }[];
  readonly served: Outcome;
  readonly servedWithoutUnit: Outcome;
}

const STRIDE = 8;
const RANGE_STRIDE = 3;
const encoder = new TextEncoder();

export class Sheet {
  /** The keys in the environment's order. */
  readonly keys: readonly string[];
  // Of a flag that more decides: its row begins with -1.
  readonly #rows: Int32Array;
  readonly #ranges: Int32Array;
  readonly #outcomes: readonly Outcome[];

  /** `find` gives a flag at this version; undefined where it cannot be evaluated. */
  constructor(keys: Iterable<string>, find: (key: string) => BoundFlag | undefined) {
    this.keys = [...keys];
    const rows = new Int32Array(this.keys.length * STRIDE);
    const ranges: number[] = [];
    const outcomes: Outcome[] = [];
    for (const [number, key] of this.keys.entries()) {
      const split = find(key)?.asSplit();
      const at = number * STRIDE;
      if (split === undefined) {
        rows[at] = -1;
        continue;
      }
      const first = ranges.length;
      for (const { start, end, outcome } of split.ranges) ranges.push(start, end, outcomes.push(outcome) - 1);
      const [state, rest, bits, length] = split.prefix;
      const served = outcomes.push(split.served, split.servedWithoutUnit) - 2;
      rows.set([first, ranges.length, served, state, rest, bits, length], at);
    }
    this.#rows = rows;
    this.#ranges = Int32Array.from(ranges);
    this.#outcomes = outcomes;
  }

  /** Tells the outcome of each flag in its turn; undefined of one that more than a bucket decides. */
  visit(context: Context, told: (key: string, outcome: Outcome | undefined) => void): void {
    const { keys } = this;
    const rows = this.#rows;
    const outcomes = this.#outcomes;
    const unit = context.userId ? encoder.encode(context.userId) : undefined;
    for (let number = 0, at = 0; number < keys.length; number += 1, at += STRIDE) {
      const first = rows[at] as number;
      let outcome: Outcome | undefined;
      if (first >= 0) {
        const served = rows[at + 2] as number;
        const found = unit === undefined ? served + 1 : this.#find(at, first, unit, served);
        outcome = outcomes[found];
      }
      told(keys[number] as string, outcome);
    }
  }

  /** The number of the outcome that the unit's bucket gives, or of the one that everybody else gets. */
  #find(at: number, first: number, unit: Uint8Array, served: number): number {
    const rows = this.#rows;
    const end = rows[at + 1] as number;
    if (first === end) return served;
    const ranges = this.#ranges;
    const state = rows[at + 3] as number;
    const rest = rows[at + 4] as number;
    const bucket = hashOf(state, rest, rows[at + 5] as number, rows[at + 6] as number, unit) % BUCKETS;
    for (let one = first; one < end; one += RANGE_STRIDE) {
      // They stand in their order.
      if (bucket >= (ranges[one + 1] as number)) continue;
      return bucket >= (ranges[one] as number) ? (ranges[one + 2] as number) : served;
    }
    return served;
  }
}
