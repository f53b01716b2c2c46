/** Turns a decoded flag into steps that follow the order of evaluation. */

import type { Decision, OpenFeatureReason, Reason } from "./answer.js";
import { compileTree, type Scope, type Test } from "./conditions.js";
import type { Context } from "./context.js";
import { PrefixHash } from "./hash.js";
import {
  type AllocationRange,
  type Experiment,
  type FlagDefinition,
  faultOf,
  type Rule,
  segmentKeysOf,
} from "./model.js";

/** The number of the decision, or `PASS`. Without a unit nothing is hashed. */
type Step = (context: Context, unit: string | undefined, scope: Scope) => number;

const PASS = -1;
const MOST_SCANNED = 6;

const OPENFEATURE_REASONS: Record<Exclude<Reason, "ERROR">, OpenFeatureReason> = {
  KILL_SWITCH: "DISABLED",
  DISABLED: "DISABLED",
  PREREQUISITE_FAILED: "DEFAULT",
  TARGET_MATCH: "TARGETING_MATCH",
  RULE_MATCH: "TARGETING_MATCH",
  EXPERIMENT: "SPLIT",
  ROLLOUT: "SPLIT",
  DEFAULT: "DEFAULT",
};

type Named = { isSplit?: boolean; ruleId?: string; experiment?: string; detail?: string; isStatic?: boolean };

/** A flag's steps. They know no version of the environment and serve every one. */
export class FlagCode {
  /** What the flag may answer; `decide` gives the number of one. */
  readonly decisions: readonly Decision[];
  /** The segments that an evaluation may ask for. */
  readonly segmentKeys: ReadonlySet<string>;
  /** The one split that decides, where the flag has nothing else; undefined where more decides. */
  readonly split: Split | undefined;
  readonly served: number;
  readonly servedWithoutUnit: number;
  readonly #steps: readonly Step[];

  constructor(
    readonly definition: FlagDefinition,
    environmentSalt: string,
  ) {
    const writer = new Writer(definition, environmentSalt);
    writer.write();
    this.decisions = writer.decisions;
    this.segmentKeys = writer.segmentKeys;
    this.#steps = writer.steps;
    this.served = writer.served;
    this.servedWithoutUnit = writer.servedWithoutUnit;
    this.split = writer.split;
  }

  /** Whether nothing but the flag's own switches decides. */
  get isFixed(): boolean {
    return this.definition.killSwitchVariant !== undefined || !this.definition.isEnabled;
  }

  /** Whether an evaluation asks for other flags or segments. */
  get isLinked(): boolean {
    return !this.isFixed && (this.definition.prerequisites.length > 0 || this.segmentKeys.size > 0);
  }

  /** The number of the decision for this context. */
  decide(context: Context, unit: string | undefined, scope: Scope): number {
    for (const step of this.#steps) {
      const decision = step(context, unit, scope);
      if (decision !== PASS) return decision;
    }
    return unit === undefined ? this.servedWithoutUnit : this.served;
  }
}

/** Which decision the hash of a unit gives; another bucket gets what is served. */
export interface Split {
  readonly hash: PrefixHash;
  readonly pieces: readonly Piece[];
}

class Writer {
  readonly decisions: Decision[] = [];
  readonly steps: Step[] = [];
  readonly segmentKeys = new Set<string>();
  served = 0;
  servedWithoutUnit = 0;
  split: Split | undefined;
  readonly #flag: FlagDefinition;
  readonly #hash: PrefixHash;
  // An unreadable condition is false for everybody and may change every later outcome; the answer says so.
  #fault: string | undefined;

  constructor(flag: FlagDefinition, environmentSalt: string) {
    this.#flag = flag;
    this.#hash = new PrefixHash(environmentSalt === "" ? `${flag.salt}:` : `${environmentSalt}:${flag.salt}:`);
  }

  write(): void {
    const flag = this.#flag;
    if (flag.killSwitchVariant !== undefined) {
      this.#serveAll(this.#decide(flag.killSwitchVariant, "KILL_SWITCH"));
      return;
    }
    if (!flag.isEnabled) {
      this.#serveAll(this.#decide(flag.offVariant, "DISABLED"));
      return;
    }
    this.#addPrerequisites();
    this.#addTargets();
    for (const step of stepsOf(flag)) {
      if ("layerSalt" in step) this.#addExperiment(step);
      else if (this.#addRule(step)) return;
    }
    this.#addRollout();
  }

  #serveAll(decision: number): void {
    this.served = this.servedWithoutUnit = decision;
    if (this.steps.length === 0) this.split = { hash: this.#hash, pieces: [] };
  }

  #addPrerequisites(): void {
    const { key, prerequisites, offVariant } = this.#flag;
    if (prerequisites.length === 0) return;
    const failed = this.#decide(offVariant, "PREREQUISITE_FAILED");
    this.steps.push((context, _unit, scope) => {
      for (const { flagKey, variants } of prerequisites) {
        const variant = scope.variantOf(flagKey, context, key);
        if (variant === undefined || !variants.has(variant)) return failed;
      }
      return PASS;
    });
  }

  #addTargets(): void {
    const decisions = new Map<string, number>();
    for (const { variant, userIds } of this.#flag.targets) {
      const decision = this.#decide(variant, "TARGET_MATCH");
      for (const userId of userIds) if (!decisions.has(userId)) decisions.set(userId, decision);
    }
    if (decisions.size === 0) return;
    this.steps.push(({ userId }) => (userId === undefined ? PASS : (decisions.get(userId) ?? PASS)));
  }

  /** Adds a rule; true where it decides for everybody, so that nothing can follow. */
  #addRule(rule: Rule): boolean {
    const test = this.#compile(rule.conditions);
    if (test === false) return false;
    if (rule.variant !== undefined) {
      const decision = this.#decide(rule.variant, "RULE_MATCH", { ruleId: rule.id });
      if (test === true) {
        this.#serveAll(decision);
        return true;
      }
      this.steps.push((context, _unit, scope) => (test(context, scope) ? decision : PASS));
      return false;
    }
    const pick = this.#split(rule.allocation, "RULE_MATCH", { ruleId: rule.id });
    if (pick === undefined) return false;
    this.steps.push((context, unit, scope) =>
      unit === undefined || (test !== true && !test(context, scope)) ? PASS : pick(unit),
    );
    return false;
  }

  #addExperiment(experiment: Experiment): void {
    const { id, audience, ranges, allocation } = experiment;
    const test = audience === undefined ? true : this.#compile(audience);
    const pick = this.#split(allocation ?? this.#flag.allocation, "EXPERIMENT", { experiment: id });
    const control = this.#decide(experiment.controlVariant, "EXPERIMENT", { experiment: id });
    const otherwise =
      allocation === undefined
        ? this.#decide(this.#flag.defaultVariant, "DEFAULT", { detail: "not_in_experiment" })
        : PASS;
    const layer = new PrefixHash(`${experiment.layerSalt}:`);
    const takesPart = (context: Context, unit: string, scope: Scope) => {
      if (test === false || (test !== true && !test(context, scope))) return false;
      const bucket = layer.bucket(unit);
      return ranges.some(([start, end]) => start <= bucket && bucket < end);
    };
    this.steps.push((context, unit, scope) => {
      if (unit === undefined) return PASS;
      if (!takesPart(context, unit, scope)) return otherwise;
      const decision = pick === undefined ? PASS : pick(unit);
      return decision === PASS ? control : decision;
    });
  }

  /** Steps 9 and 10 of the contract: the rollout, and what remains. */
  #addRollout(): void {
    const { allocation, defaultVariant, experiment, targets, rules } = this.#flag;
    const isStatic = experiment === undefined && targets.length + rules.length + allocation.length === 0;
    const servesUnits = experiment === undefined || experiment.allocation !== undefined;
    const isAlone = this.steps.length === 0;
    const pieces = servesUnits ? this.#pieces(allocation, "ROLLOUT") : [];
    const pick = this.#picker(pieces);
    if (pick !== undefined) this.steps.push((_context, unit) => (unit === undefined ? PASS : pick(unit)));
    if (isAlone) this.split = { hash: this.#hash, pieces };
    this.served = this.#decide(defaultVariant, "DEFAULT", { isStatic });
    this.servedWithoutUnit = this.#decide(defaultVariant, "DEFAULT", { detail: "no_unit", isStatic });
  }

  #split(allocation: readonly AllocationRange[], reason: "RULE_MATCH" | "EXPERIMENT", named: Named) {
    return this.#picker(this.#pieces(allocation, reason, named));
  }

  #pieces(
    allocation: readonly AllocationRange[],
    reason: "RULE_MATCH" | "EXPERIMENT" | "ROLLOUT",
    named: Named = {},
  ): readonly Piece[] {
    const numbers = new Map<string, number>();
    const decisionOf = (variant: string) => {
      const known = numbers.get(variant) ?? this.#decide(variant, reason, { ...named, isSplit: true });
      numbers.set(variant, known);
      return known;
    };
    return allocation.map(([start, end, variant]) => ({ start, end, decision: decisionOf(variant) }));
  }

  /** The function that gives a unit's decision by its bucket; undefined for an allocation without ranges. */
  #picker(pieces: readonly Piece[]) {
    const hash = this.#hash;
    const [only] = pieces;
    if (only === undefined) return undefined;
    if (pieces.length === 1) {
      const { start, end, decision } = only;
      return (unit: string) => {
        const bucket = hash.bucket(unit);
        return start <= bucket && bucket < end ? decision : PASS;
      };
    }
    const find = pieces.length > MOST_SCANNED ? searched : scanned;
    return (unit: string) => find(pieces, hash.bucket(unit));
  }

  #compile(tree: Rule["conditions"]): Test | boolean {
    this.#fault ??= faultOf(tree);
    for (const key of segmentKeysOf(tree)) this.segmentKeys.add(key);
    return compileTree(tree, { key: this.#flag.key, isSegment: false });
  }

  #decide(variant: string, reason: Exclude<Reason, "ERROR">, named: Named = {}): number {
    const { isSplit = false, isStatic = false, ruleId, experiment, detail = this.#fault } = named;
    const openFeatureReason = isStatic ? "STATIC" : isSplit ? "SPLIT" : OPENFEATURE_REASONS[reason];
    const value = this.#flag.variants.get(variant);
    this.decisions.push({ variant, value, reason, openFeatureReason, ruleId, experiment, detail });
    return this.decisions.length - 1;
  }
}

/** The rules and the experiment in the order in which they are asked. */
function stepsOf({ rules, experiment }: FlagDefinition): readonly (Rule | Experiment)[] {
  if (experiment === undefined) return rules;
  const { priority } = experiment;
  const place = rules.filter((rule) => priority === undefined || rule.priority < priority).length;
  return [...rules.slice(0, place), experiment, ...rules.slice(place)];
}

interface Piece {
  readonly start: number;
  readonly end: number;
  readonly decision: number;
}

function scanned(pieces: readonly Piece[], bucket: number): number {
  for (const { start, end, decision } of pieces) {
    if (bucket < end) return start <= bucket ? decision : PASS;
  }
  return PASS;
}

function searched(pieces: readonly Piece[], bucket: number): number {
  let low = 0;
  let high = pieces.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((pieces[middle] as Piece).end <= bucket) low = middle + 1;
    else high = middle;
  }
  const found = pieces[low];
  return found !== undefined && found.start <= bucket ? found.decision : PASS;
}
