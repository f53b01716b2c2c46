/** The input of an evaluation: a user id and attributes. */

import { isPlain, taken, UntakenError, unitOf } from "./values.js";

/** Attributes by name, as a caller gives them. */
export type Attributes = { readonly [name: string]: unknown };

/** Told of an attribute that no condition can read: the flag or segment that reads it, its name, its type. */
export type Refusal = (subject: string, attribute: string, type: string) => void;

const NONE: Attributes = Object.freeze({});

/**
 * A user id and the attributes for conditions. It is cheap to build, and nothing stores it.
 *
 * Attributes are kept, not copied. Ids are text: a whole number becomes its decimal text, and what cannot be an id is
 * no user. A `userId` among the attributes is ignored.
 */
export class Context {
  readonly userId: string | undefined;
  readonly #attributes: Attributes;
  readonly #refuse: Refusal | undefined;

  constructor(userId: unknown, attributes: Attributes = NONE, refuse?: Refusal) {
    // An empty id is there for conditions, and is no unit.
    this.userId = userId === "" ? "" : unitOf(userId);
    this.#attributes = attributes;
    this.#refuse = refuse;
  }

  /**
   * The attribute as conditions read it: text, a number, a boolean, a list, undefined or null.
   *
   * `subject` is the flag or segment that asks. What cannot be taken stays as it is, and matches nothing.
   */
  read(name: string, subject: string): unknown {
    if (name === "userId") return this.userId;
    const value = this.#given(name);
    if (isPlain(value)) return value;
    try {
      return taken(value);
    } catch (error) {
      if (!(error instanceof UntakenError)) throw error;
      this.#refuse?.(subject, name, error.message);
      return value;
    }
  }

  /** The unit that an attribute names; undefined where it names none. */
  unitAt(name: string): string | undefined {
    return name === "userId" ? this.userId || undefined : unitOf(this.#given(name));
  }

  /** The same user with further attributes, which go before the present ones. */
  with(attributes: Attributes): Context {
    return new Context(this.userId, { ...this.#attributes, ...attributes }, this.#refuse);
  }

  #given(name: string): unknown {
    const value = this.#attributes[name];
    // `constructor` and the like are everybody's, and no attributes.
    if (isPlain(value) || !(name in Object.prototype) || Object.hasOwn(this.#attributes, name)) return value;
    return undefined;
  }
}
