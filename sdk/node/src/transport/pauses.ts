/** Waiting that keeps no process alive, and ends when somebody wakes it or everything ends. */

/** A pause that `wake` ends. A wake while nobody waits ends the next pause at once. */
export class Pauses {
  readonly #signal: AbortSignal;
  #isWoken = false;
  #end: (() => void) | undefined;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
    signal.addEventListener("abort", () => this.wake(), { once: true });
  }

  wake(): void {
    this.#isWoken = true;
    this.#end?.();
  }

  /** Waits so many milliseconds, or until it is woken. At most one waits at a time. */
  async wait(milliseconds: number): Promise<void> {
    if (!this.#isWoken && !this.#signal.aborted) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.max(0, milliseconds)).unref();
        this.#end = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    this.#isWoken = false;
    this.#end = undefined;
  }
}

/**
 * What the promise gives, or undefined where it takes longer. The process lives at least as long.
 *
 * The client's own sockets and timers keep no process alive, so whoever waits for them has to.
 */
export async function within<Given>(milliseconds: number, promise: Promise<Given>): Promise<Given | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, Math.min(Math.max(0, milliseconds), MOST_TIMER_MS), undefined);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

// What a timer of Node's can wait; more would end at once.
const MOST_TIMER_MS = 2 ** 31 - 1;
