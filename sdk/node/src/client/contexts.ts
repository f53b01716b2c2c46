/** The contexts that services pass: a user id and attributes of JavaScript's own types, none of them dropped silently. */

import { Context } from "../engine/index.js";
import type { Voice } from "./logger.js";

/**
 * A user: an id alone, or attributes with the id under `userId` (or `targetingKey`, as in OpenFeature).
 *
 * Taken exactly: text, numbers, booleans, `bigint`, `Date` and lists or sets of them. Anything else is warned about once
 * for each flag that asks for it.
 */
export type UserContext = string | number | bigint | null | undefined | Context | UserAttributes;

export interface UserAttributes {
  readonly userId?: string | number | bigint | null | undefined;
  readonly targetingKey?: string | undefined;
  readonly [attribute: string]: unknown;
}

/** The context of whatever names a user. */
export class Contexts {
  readonly #voice: Voice;

  constructor(voice: Voice) {
    this.#voice = voice;
  }

  of(given: UserContext): Context {
    if (typeof given !== "object") return this.#checked(given, new Context(given));
    if (given === null) return new Context(undefined);
    if (given instanceof Context) return given;
    const id: unknown = given.userId ?? given.targetingKey;
    return this.#checked(id, new Context(id, given, this.#refuse));
  }

  #checked(id: unknown, context: Context): Context {
    if (context.userId === undefined && id !== undefined && id !== null) {
      this.#voice.warnOnce("userId", `a user id is no id (${typeof id}): give text or a whole number`);
    }
    return context;
  }

  #refuse = (subject: string, attribute: string, type: string): void => {
    this.#voice.warnOnce(
      `${subject} ${attribute}`,
      `${subject}: the attribute '${attribute}' cannot be compared (${type}): give text, a number, a boolean, a Date or a list`,
    );
  };
}
