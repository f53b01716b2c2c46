/** Usage summaries on their way out: one a minute, apart from the events, which must not wait for them. */

import type { Voice } from "../client/logger.js";
import type { Response } from "../transport/http.js";
import { reasonIn, retryAfterOf } from "../transport/refusals.js";
import { uuid7 } from "./ids.js";
import { receiptOf } from "./receipts.js";
import type { Usage } from "./usage.js";

const MOST_WAITING = 10;
const AGAIN_MS = 30_000;
// The server refuses a summary of more than twice as many as a whole.
const MOST_ROWS = 10_000;
const WITHOUT_ROUTE_MS = 3_600_000;
// From before the route was there; it may be a later release by then.
const WITHOUT_ROUTE: ReadonlySet<number> = new Set([404, 405, 501]);
const REFUSED_FOR_GOOD: ReadonlySet<number> = new Set([400, 413, 422]);

/** Who counted. */
interface Named {
  readonly instance: string;
  readonly sdk: string;
}

/** The summaries that wait, oldest first, each with its id. A server without the route is asked once an hour. */
export class Summaries {
  dueAt: number;
  readonly #usage: Usage;
  readonly #named: Named;
  readonly #everyMs: number;
  readonly #voice: Voice;
  readonly #waiting: { readonly id: string; readonly text: string }[] = [];
  readonly #isOn: boolean;
  #retryAt = 0;
  #since = new Date();

  constructor(usage: Usage, named: Named, everyMs: number, isOn: boolean, voice: Voice) {
    this.#usage = usage;
    this.#named = named;
    this.#everyMs = everyMs;
    this.#isOn = isOn;
    this.#voice = voice;
    this.dueAt = performance.now() + everyMs;
  }

  /**
   * Adds the summary of what was counted since the last one, once it is time.
   *
   * While too many wait, counting goes on, into a later summary.
   */
  sumUp(isLast = false): void {
    if (performance.now() < this.dueAt && !isLast) return;
    this.dueAt = performance.now() + this.#everyMs;
    if (this.#waiting.length >= MOST_WAITING && !isLast) return;
    const counted = this.#usage.take();
    const since = this.#since;
    this.#since = new Date();
    if (counted === undefined || !this.#isOn) return;
    const { flags, ...others } = counted;
    const of = { ...this.#named, since, until: this.#since };
    for (let start = 0; start === 0 || start < flags.length; start += MOST_ROWS) {
      const part = { ...of, flags: flags.slice(start, start + MOST_ROWS), ...(start === 0 ? others : {}) };
      this.#waiting.push({ id: uuid7(), text: JSON.stringify(part) });
    }
  }

  /** Sends what waits, one after the other, until one fails. */
  async send(post: (text: string, payloadId: string) => Promise<Response>): Promise<void> {
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      if (performance.now() < this.#retryAt) return;
      try {
        this.#note(await post(first.text, first.id));
      } catch {
        this.#waitFor(AGAIN_MS);
      }
    }
  }

  #note(response: Response): void {
    const { status, headers, body } = response;
    const isRefused = REFUSED_FOR_GOOD.has(status);
    if (isRefused) this.#voice.warn(`the server refused a usage summary with ${status}: ${reasonIn(body)}`);
    if (WITHOUT_ROUTE.has(status)) this.#waitFor(WITHOUT_ROUTE_MS);
    else if (isRefused || receiptOf(response) !== undefined) this.#waiting.shift();
    // As for events: what is no receipt, such as a login page, says nothing of the summary.
    else this.#waitFor(Math.max(AGAIN_MS, retryAfterOf(headers) ?? 0));
  }

  #waitFor(milliseconds: number): void {
    this.#retryAt = performance.now() + milliseconds;
  }
}
