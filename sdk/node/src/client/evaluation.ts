/** Evaluation from memory, which services call. Nothing here throws or waits. */

import { failure } from "../engine/answer.js";
import { blankOf } from "../engine/environment.js";
import type { Answer, Context, Environment, Outcome } from "../engine/index.js";
import type { FlagType } from "../engine/model.js";
import type { Configuration } from "../following/configuration.js";
import type { EventQueue, TrackDetails } from "../sending/events.js";
import type { Usage } from "../sending/usage.js";
import { Contexts, type UserContext } from "./contexts.js";
import { type Hook, runHooks } from "./hooks.js";
import type { Voice } from "./logger.js";

/** A value of JSON, frozen. */
export type JsonValue = null | boolean | number | string | readonly JsonValue[] | { readonly [key: string]: JsonValue };

/** What answers in a flag's place in tests; undefined for a user that is not meant. */
export type Override = (context: Context, environment: Environment) => Outcome | undefined;

/** What tests reach into; see `openflagship/testing`. */
export interface Rigging {
  /** By flag; the last one that answers counts. */
  readonly overrides: Map<string, Override[]>;
  /** Told of each event that was taken. */
  readonly taps: Set<(name: string, userId: string | undefined, details: TrackDetails) => void>;
  readonly isHad: () => boolean;
}

/** The key of the method that gives a client's `Rigging`. */
export const RIGGING = Symbol("openflagship.rigging");

export interface EvaluationParts {
  readonly configuration: Configuration;
  readonly queue: EventQueue;
  readonly usage: Usage;
  readonly voice: Voice;
  readonly hooks: readonly Hook[];
  /** Called before each evaluation, such as to refresh what is too old. */
  begin: (() => void) | undefined;
}

export class Evaluation {
  readonly #parts: EvaluationParts;
  readonly #contexts: Contexts;
  readonly #rigging: Rigging;
  #hooks: readonly Hook[];

  constructor(parts: EvaluationParts) {
    this.#parts = parts;
    this.#contexts = new Contexts(parts.voice);
    this.#hooks = parts.hooks;
    this.#rigging = { overrides: new Map(), taps: new Set(), isHad: () => parts.configuration.isHad };
  }

  /** Whether a boolean flag is true for this user; `otherwise` where there is no boolean answer. */
  isEnabled(flagKey: string, context?: UserContext, otherwise = false): boolean {
    return this.#asked("boolean", flagKey, otherwise, context).answer.value as boolean;
  }

  /** The value of a boolean flag; the default where the flag has another type, or is not there. */
  getBooleanValue(flagKey: string, defaultValue: boolean, context?: UserContext): boolean {
    return this.getBooleanDetails(flagKey, defaultValue, context).value;
  }

  /** The value of a string flag; the default where the flag has another type, or is not there. */
  getStringValue(flagKey: string, defaultValue: string, context?: UserContext): string {
    return this.getStringDetails(flagKey, defaultValue, context).value;
  }

  /** The value of a number flag; the default where the flag has another type, or is not there. */
  getNumberValue(flagKey: string, defaultValue: number, context?: UserContext): number {
    return this.getNumberDetails(flagKey, defaultValue, context).value;
  }

  /** The value of a json flag, frozen; the default where the flag has another type, or is not there. */
  getObjectValue<Value = JsonValue>(flagKey: string, defaultValue: Value, context?: UserContext): Value {
    return this.getObjectDetails(flagKey, defaultValue, context).value;
  }

  /** Like `getBooleanValue`, with the reason: ERROR and TYPE_MISMATCH for a flag of another type. */
  getBooleanDetails(flagKey: string, defaultValue: boolean, context?: UserContext): Answer<boolean> {
    return this.#asked("boolean", flagKey, defaultValue, context).answer as Answer<boolean>;
  }

  /** Like `getStringValue`, with the reason. */
  getStringDetails(flagKey: string, defaultValue: string, context?: UserContext): Answer<string> {
    return this.#asked("string", flagKey, defaultValue, context).answer as Answer<string>;
  }

  /** Like `getNumberValue`, with the reason. */
  getNumberDetails(flagKey: string, defaultValue: number, context?: UserContext): Answer<number> {
    return this.#asked("number", flagKey, defaultValue, context).answer as Answer<number>;
  }

  /** Like `getObjectValue`, with the reason. */
  getObjectDetails<Value = JsonValue>(flagKey: string, defaultValue: Value, context?: UserContext): Answer<Value> {
    return this.#asked("json", flagKey, defaultValue, context).answer as Answer<Value>;
  }

  /** The answer of a flag of any type. */
  getDetails(flagKey: string, defaultValue: unknown, context?: UserContext): Answer {
    return this.#asked(undefined, flagKey, defaultValue, context).answer;
  }

  /** The answer and OpenFeature's reason for it. `type`: as the typed getters; undefined for any. */
  getOutcome(type: FlagType | undefined, flagKey: string, defaultValue: unknown, context?: UserContext): Outcome {
    return this.#asked(type, flagKey, defaultValue, context);
  }

  /** The values of all flags, or of the named ones. Records no exposures, because no user has seen them yet. */
  allFlags(context?: UserContext, keys?: Iterable<string>): Record<string, unknown> {
    return Object.fromEntries(Object.entries(this.allDetails(context, keys)).map(([key, { value }]) => [key, value]));
  }

  /** Like `allFlags`, with reasons. */
  allDetails(context?: UserContext, keys?: Iterable<string>): Record<string, Answer> {
    return this.#guarded({}, () => {
      this.#parts.begin?.();
      const { environment } = this.#parts.configuration;
      const user = this.#contexts.of(context);
      const { overrides } = this.#rigging;
      const answers = keys === undefined ? environment.blank() : blankOf(keys);
      environment.visitAll(user, keys === undefined ? undefined : Object.keys(answers), (key, outcome) => {
        answers[key] = outcome.answer;
        if (overrides.size === 0 || !overrides.has(key)) this.#count(key, outcome);
      });
      for (const key of overrides.keys()) {
        const isAsked = keys === undefined || Object.hasOwn(answers, key);
        const fixed = isAsked ? this.#overridden(key, user) : undefined;
        if (fixed !== undefined) answers[key] = fixed.answer;
      }
      return answers;
    });
  }

  /** Records that this user was shown what the flag gives them, as after `allFlags`. */
  trackExposure(flagKey: string, context?: UserContext): void {
    this.#asked(undefined, flagKey, null, context);
  }

  /**
   * Records a conversion, which is sent later: it is written down as it is now.
   *
   * One that the server would refuse is warned about and dropped.
   */
  track(eventName: string, context: UserContext, details: TrackDetails = {}): void {
    this.#track("conversion", eventName, context, details);
  }

  /** Like `track`, under a metric's key in place of an event's name. */
  trackMetric(metricKey: string, context: UserContext, details: TrackDetails = {}): void {
    this.#track("metrics", metricKey, context, details);
  }

  /** Calls the hook around every evaluation. Call what is returned to end that. */
  addHook(hook: Hook): () => void {
    if (typeof hook !== "object" || hook === null) throw new TypeError("Give a hook.");
    this.#hooks = [...this.#hooks, hook];
    return () => {
      this.#hooks = this.#hooks.filter((other) => other !== hook);
    };
  }

  /** The immutable configuration that evaluations use. */
  get environment(): Environment {
    return this.#parts.configuration.environment;
  }

  [RIGGING](): Rigging {
    return this.#rigging;
  }

  #asked(type: FlagType | undefined, flagKey: string, otherwise: unknown, context: UserContext): Outcome {
    try {
      this.#parts.begin?.();
      const user = this.#contexts.of(context);
      if (this.#hooks.length > 0 || this.#rigging.overrides.size > 0) {
        return this.#askedAround(type, flagKey, otherwise, user);
      }
      return this.#answered(type, flagKey, otherwise, user);
    } catch (error) {
      return this.#broken(otherwise, error);
    }
  }

  /** An evaluation with hooks or overrides. */
  #askedAround(type: FlagType | undefined, flagKey: string, otherwise: unknown, user: Context): Outcome {
    const ask = (asked: Context) => {
      const fixed = this.#overridden(flagKey, asked);
      if (fixed === undefined) return this.#answered(type, flagKey, otherwise, asked);
      return type === undefined || isOf(type, fixed.answer.value) ? fixed : this.#mismatched(type, flagKey, otherwise);
    };
    if (this.#hooks.length === 0) return ask(user);
    const { userId } = user;
    const question = { flagKey, userId, otherwise, type: this.environment.flags.get(flagKey)?.definition?.type };
    return runHooks(this.#hooks, question, user, ask, this.#parts.voice);
  }

  #answered(type: FlagType | undefined, flagKey: string, otherwise: unknown, user: Context): Outcome {
    const { configuration, usage, queue } = this.#parts;
    const { environment } = configuration;
    const outcome = environment.evaluate(flagKey, user, otherwise);
    const { answer, shown } = outcome;
    if (answer.errorCode !== undefined) return this.#failed(flagKey, outcome);
    // Nobody sees a variant of another type, so no exposure is recorded for it.
    if (type !== undefined && outcome.type !== type) return this.#mismatched(type, flagKey, otherwise, outcome.type);
    usage.count(flagKey, outcome);
    if (shown !== undefined) {
      const unit = shown.isByUserId ? user.userId : environment.unit(flagKey, user);
      if (unit) queue.expose(flagKey, unit, answer, shown);
    }
    return outcome;
  }

  #mismatched(type: FlagType, flagKey: string, otherwise: unknown, known?: FlagType): Outcome {
    const { version, stale } = this.environment;
    const detail = `The flag's type is ${known ?? "another"}, asked for was ${type}.`;
    const outcome = failure(otherwise, "TYPE_MISMATCH", detail, version, stale);
    this.#parts.usage.countFailure(flagKey, outcome);
    return outcome;
  }

  /** Counts one of the answers for all flags, except what is unknown because no configuration came yet. */
  #count(flagKey: string, outcome: Outcome): void {
    const { configuration, usage } = this.#parts;
    if (outcome.answer.errorCode === undefined) usage.count(flagKey, outcome);
    else if (configuration.isHad) usage.countFailure(flagKey, outcome);
  }

  #failed(flagKey: string, outcome: Outcome): Outcome {
    const { configuration, usage } = this.#parts;
    const { errorCode, value } = outcome.answer;
    if (errorCode === "FLAG_NOT_FOUND" && !configuration.isHad) return failure(value, errorCode, "not_ready", 0, true);
    usage.countFailure(flagKey, outcome);
    return outcome;
  }

  #track(kind: "conversion" | "metrics", name: string, context: UserContext, details: TrackDetails): void {
    try {
      const { userId } = this.#contexts.of(context);
      this.#parts.queue.track(kind, name, userId, details);
      for (const tap of this.#rigging.taps) tap(name, userId, details);
    } catch (error) {
      this.#parts.voice.warn(`the event '${String(name)}' is dropped: ${messageOf(error)}`);
    }
  }

  #overridden(flagKey: string, user: Context): Outcome | undefined {
    for (const override of this.#rigging.overrides.get(flagKey)?.toReversed() ?? []) {
      const outcome = override(user, this.environment);
      if (outcome !== undefined) return outcome;
    }
    return undefined;
  }

  #guarded<Given>(otherwise: Given, call: () => Given): Given {
    try {
      return call();
    } catch (error) {
      this.#parts.voice.warn(`an evaluation failed: ${messageOf(error)}`);
      return otherwise;
    }
  }

  #broken(otherwise: unknown, error: unknown): Outcome {
    this.#parts.voice.warn(`an evaluation failed: the default is served: ${messageOf(error)}`);
    return failure(otherwise, "GENERAL", error instanceof Error ? error.name : typeof error, 0, true);
  }
}

const JS_TYPES = { boolean: "boolean", string: "string", number: "number" } as const;

function isOf(type: FlagType, value: unknown): boolean {
  return type === "json" ? typeof value === "object" : typeof value === JS_TYPES[type];
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message || error.name : String(error);
}
