/** How often each flag gave each variant for which reason: counted at the evaluation, summed up once a minute. */

import type { Outcome } from "../engine/index.js";

const MOST_UNKNOWN = 100;
const MOST_KEY_CHARACTERS = 200;
const UNSAYABLE = /^$|\0|\p{Cs}/u;

/** A row of `POST events/usage`. */
interface Row {
  readonly flagKey: string;
  readonly variant: string | null;
  readonly reason: string;
  readonly errorCode?: string | undefined;
  count: number;
}

/** What was counted between two instants, in the API's form. */
export interface Counted {
  readonly flags: readonly Row[];
  readonly unknownFlags: readonly { readonly flagKey: string; readonly count: number }[];
  readonly unknownFlagsUnnamed: number;
}

export class Usage {
  // Each outcome that was given counts itself; these are the ones with a count.
  readonly #given = new Map<Outcome, string>();
  readonly #rows = new Map<string, Row>();
  readonly #unknown = new Map<string, number>();
  #unnamed = 0;

  /** Counts an answer, which the environment owns. */
  count(flagKey: string, outcome: Outcome): void {
    if (outcome.uses === 0) this.#given.set(outcome, flagKey);
    outcome.uses += 1;
  }

  /** Counts a default that was served. Of unknown flags at most a hundred keep their names. */
  countFailure(flagKey: string, { answer }: Outcome): void {
    const name = String(flagKey).slice(0, MOST_KEY_CHARACTERS);
    // The server refuses a whole summary for a key that is empty, holds NUL or half of a surrogate pair.
    if (UNSAYABLE.test(name)) this.#unnamed += 1;
    else if (answer.errorCode !== "FLAG_NOT_FOUND") this.#add(name, null, "ERROR", 1, answer.errorCode);
    else if (this.#unknown.has(name) || this.#unknown.size < MOST_UNKNOWN) {
      this.#unknown.set(name, (this.#unknown.get(name) ?? 0) + 1);
    } else this.#unnamed += 1;
  }

  /** Keeps the numbers and lets go of the outcomes, whose configuration may be an old one. */
  settle(): void {
    for (const [outcome, flagKey] of this.#given) {
      this.#add(flagKey, outcome.answer.variant, outcome.answer.reason, outcome.uses);
      outcome.uses = 0;
    }
    this.#given.clear();
  }

  /** What was counted since the last call; undefined where nothing was. */
  take(): Counted | undefined {
    this.settle();
    if (this.#rows.size + this.#unknown.size + this.#unnamed === 0) return undefined;
    const counted = {
      flags: [...this.#rows.values()],
      unknownFlags: Array.from(this.#unknown, ([flagKey, count]) => ({ flagKey, count })),
      unknownFlagsUnnamed: this.#unnamed,
    };
    this.#rows.clear();
    this.#unknown.clear();
    this.#unnamed = 0;
    return counted;
  }

  #add(flagKey: string, variant: string | null, reason: string, count: number, errorCode?: string): void {
    const name = JSON.stringify([flagKey, variant, reason, errorCode]);
    const row = this.#rows.get(name);
    if (row === undefined) this.#rows.set(name, { flagKey, variant, reason, errorCode, count });
    else row.count += count;
  }
}
