/** The answer of an evaluation, and what the SDK has to know about it. */

import type { FlagType } from "./model.js";

/** Why an answer is what it is, in the order of evaluation. */
export type Reason =
  | "KILL_SWITCH"
  | "DISABLED"
  | "PREREQUISITE_FAILED"
  | "TARGET_MATCH"
  | "RULE_MATCH"
  | "EXPERIMENT"
  | "ROLLOUT"
  | "DEFAULT"
  | "ERROR";

/** Why the caller's default was served. */
export type ErrorCode = "FLAG_NOT_FOUND" | "PARSE_ERROR" | "TYPE_MISMATCH" | "GENERAL";

/** The reasons of OpenFeature's specification. */
export type OpenFeatureReason = "STATIC" | "DEFAULT" | "TARGETING_MATCH" | "SPLIT" | "DISABLED" | "STALE" | "ERROR";

/** The outcome of an evaluation. Members that do not apply are undefined, so that JSON has the contract's members. */
export interface Answer<Value = unknown> {
  /** The variant's value, frozen where it is an object; the caller's default with the reason ERROR. */
  readonly value: Value;
  readonly variant: string | null;
  readonly reason: Reason;
  readonly ruleId: string | undefined;
  readonly experiment: string | undefined;
  readonly errorCode: ErrorCode | undefined;
  readonly detail: string | undefined;
  /** The version of the environment's configuration. */
  readonly configVersion: number;
  /** Whether the configuration could not be refreshed for longer than the limit, or is not the latest understood. */
  readonly stale: boolean;
}

/** How a flag may answer, without the version of the configuration. */
export interface Decision {
  readonly variant: string;
  readonly value: unknown;
  readonly reason: Reason;
  readonly openFeatureReason: OpenFeatureReason;
  readonly ruleId: string | undefined;
  readonly experiment: string | undefined;
  readonly detail: string | undefined;
}

/** The units that were shown one variant at one version, since the window numbered `window` began. */
export class Shown {
  window = 0;
  readonly units = new Set<string>();
  /** Whether the user id is the unit. */
  readonly isByUserId: boolean;

  constructor(isByUserId: boolean) {
    this.isByUserId = isByUserId;
  }
}

/** A decision at a configuration version. All evaluations that end alike share it, so it holds nothing of a user's. */
export class Outcome {
  readonly answer: Answer;
  readonly openFeatureReason: OpenFeatureReason;
  /** The flag's; undefined where no flag answered. */
  readonly type: FlagType | undefined;
  /** Which units have seen it; undefined where an evaluation is no exposure. Its owner is the client's event queue. */
  readonly shown: Shown | undefined;
  /** How often it was given since it was last counted. Its owner is the client's usage summary. */
  uses = 0;

  constructor(answer: Answer, openFeatureReason: OpenFeatureReason, type?: FlagType, shown?: Shown) {
    this.answer = answer;
    this.openFeatureReason = openFeatureReason;
    this.type = type;
    this.shown = shown;
  }
}

/** Version and staleness of an environment, or of a flag that keeps an earlier version. */
export interface Stamp {
  readonly version: number;
  readonly stale: boolean;
  /** It takes the place of a decision's own. */
  readonly detail: string | undefined;
}

/** The decision of a flag at a configuration version. */
export function stamped(decision: Decision, type: FlagType, stamp: Stamp, shown?: Shown): Outcome {
  const answer: Answer = Object.freeze({
    value: decision.value,
    variant: decision.variant,
    reason: decision.reason,
    ruleId: decision.ruleId,
    experiment: decision.experiment,
    errorCode: undefined,
    detail: stamp.detail ?? decision.detail,
    configVersion: stamp.version,
    stale: stamp.stale,
  });
  return new Outcome(answer, stamp.stale ? "STALE" : decision.openFeatureReason, type, shown);
}

/** The caller's default with the reason ERROR. */
export function failure(
  value: unknown,
  errorCode: ErrorCode,
  detail: string | undefined,
  configVersion: number,
  stale: boolean,
): Outcome {
  const answer: Answer = Object.freeze({
    value,
    variant: null,
    reason: "ERROR",
    ruleId: undefined,
    experiment: undefined,
    errorCode,
    detail,
    configVersion,
    stale,
  });
  return new Outcome(answer, "ERROR");
}
