/** A flag at one version of its environment. */

import { type Outcome, Shown, type Stamp, stamped } from "./answer.js";
import type { FlagCode } from "./compile-flag.js";
import type { Scope } from "./conditions.js";
import type { Context } from "./context.js";
import type { SplitFlag } from "./sheet.js";

/** The flag's code, and an outcome for each of its decisions. */
export class BoundFlag {
  /** Whether an evaluation asks for other flags or segments. */
  readonly isLinked: boolean;
  readonly #code: FlagCode;
  readonly #isByUserId: boolean;
  readonly #outcomes: readonly Outcome[];
  // Without a unit nobody was exposed to anything.
  readonly #unexposed: readonly Outcome[];

  constructor(code: FlagCode, stamp: Stamp) {
    const { bucketBy, type, variants, logsExperimentsAlone } = code.definition;
    this.isLinked = code.isLinked;
    this.#code = code;
    this.#isByUserId = bucketBy.length === 1 && bucketBy[0] === "userId";
    const shown = new Map([...variants.keys()].map((variant) => [variant, new Shown(this.#isByUserId)]));
    this.#outcomes = code.decisions.map((decision) => {
      const isLogged = !logsExperimentsAlone || decision.experiment !== undefined;
      return stamped(decision, type, stamp, isLogged ? shown.get(decision.variant) : undefined);
    });
    this.#unexposed = code.decisions.map((decision) => stamped(decision, type, stamp));
  }

  outcome(context: Context, scope: Scope): Outcome {
    const unit = this.unit(context);
    const outcomes = unit === undefined ? this.#unexposed : this.#outcomes;
    return outcomes[this.#code.decide(context, unit, scope)] as Outcome;
  }

  /** The flag as a row of a sheet; undefined where more than the user's bucket decides. */
  asSplit(): SplitFlag | undefined {
    const { split, served, servedWithoutUnit } = this.#code;
    if (split === undefined || !this.#isByUserId) return undefined;
    const outcomeOf = (decision: number) => this.#outcomes[decision] as Outcome;
    return {
      prefix: split.hash.prefix,
      ranges: split.pieces.map(({ start, end, decision }) => ({ start, end, outcome: outcomeOf(decision) })),
      served: outcomeOf(served),
      servedWithoutUnit: this.#unexposed[servedWithoutUnit] as Outcome,
    };
  }

  /** What is hashed for this context; undefined where it has none. */
  unit(context: Context): string | undefined {
    return this.#isByUserId ? context.userId || undefined : unitBy(this.#code.definition.bucketBy, context);
  }
}

/** The unit that the first of the attributes gives. */
export function unitBy(names: readonly string[], context: Context): string | undefined {
  for (const name of names) {
    const unit = context.unitAt(name);
    if (unit !== undefined) return unit;
  }
  return undefined;
}
