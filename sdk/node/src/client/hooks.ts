/** Hooks around every evaluation: before it, after an answer, after a failure, and at the end of both. */

import type { Answer, Context, OpenFeatureReason } from "../engine/index.js";
import type { FlagType } from "../engine/model.js";
import { isThenable, type Voice } from "./logger.js";

/** What is asked. `type` is the flag's; undefined without a flag. */
export interface Question {
  readonly flagKey: string;
  readonly userId: string | undefined;
  readonly otherwise: unknown;
  readonly type: FlagType | undefined;
}

/** What was answered. */
export interface Answered {
  readonly answer: Answer;
  readonly openFeatureReason: OpenFeatureReason;
}

/** Give what you need. A hook that throws is logged, and changes no answer. */
export interface Hook {
  /** The attributes to add to the context. */
  before?(question: Question): { readonly [attribute: string]: unknown } | undefined;
  /** Called with an answer. */
  after?(question: Question, answered: Answered): void;
  /** Called where the caller's default is served; `errorCode` and `detail` say why. */
  error?(question: Question, answered: Answered): void;
  /** Called last, in either case. */
  finally?(question: Question, answered: Answered): void;
}

/** Asks between the hooks: before each in their order, after each in reverse. */
export function runHooks<Result extends Answered>(
  hooks: readonly Hook[],
  question: Question,
  context: Context,
  ask: (context: Context) => Result,
  voice: Voice,
): Result {
  let user = context;
  for (const hook of hooks) {
    const added = called(voice, "before", () => hook.before?.(question));
    if (isThenable(added)) voice.warnOnce("before", "a hook gave a promise in before: nobody waits for it");
    else if (added !== undefined) user = user.with(added);
  }
  const answered = ask(user);
  const stage = answered.answer.errorCode === undefined ? "after" : "error";
  const reversed = hooks.toReversed();
  for (const hook of reversed) called(voice, stage, () => hook[stage]?.(question, answered));
  for (const hook of reversed) called(voice, "finally", () => hook.finally?.(question, answered));
  return answered;
}

function called<Given>(voice: Voice, stage: string, call: () => Given): Given | undefined {
  try {
    const given = call();
    voice.heed(given, `a hook failed in ${stage}`);
    return given;
  } catch (error) {
    voice.warn(`a hook failed in ${stage}: ${String(error)}`);
    return undefined;
  }
}
