/** Where the SDK says what went wrong. Neither keys nor secrets are ever in it. */

export interface Logger {
  warn(message: string): void;
}

export const consoleLogger: Logger = {
  warn: (message) => console.warn(`openflagship: ${message}`),
};

/** Whether it is a promise, of whatever library. */
export function isThenable(given: unknown): given is PromiseLike<unknown> {
  return typeof given === "object" && given !== null && typeof (given as { then?: unknown }).then === "function";
}

const MOST_SAID = 1_000;

/** The logger of one client. A logger that fails is foreign code, and changes nothing. */
export class Voice {
  readonly #logger: Logger | null;
  readonly #said = new Set<string>();

  constructor(logger: Logger | null) {
    this.#logger = logger;
  }

  warn(message: string): void {
    try {
      const given: unknown = this.#logger?.warn(message);
      if (isThenable(given)) given.then(undefined, () => undefined);
    } catch {
      // There is nobody left to tell.
    }
  }

  /** Warns of the failure of a promise that foreign code gave: nobody waits for it, and it ends no process. */
  heed(given: unknown, what: string): void {
    if (isThenable(given)) given.then(undefined, (error: unknown) => this.warn(`${what}: ${String(error)}`));
  }

  /** Warns once about one subject. */
  warnOnce(subject: string, message: string): void {
    if (this.#said.has(subject) || this.#said.size >= MOST_SAID) return;
    this.#said.add(subject);
    this.warn(message);
  }
}
