/** Exposures and conversions: batched, sent in the background, and once more when the page goes away. */

/** An event's own members, besides its id and instant. */
export type EventMembers = Record<string, unknown>;
export type EventKind = "exposure" | "conversion" | "metrics";

interface Waiting {
  readonly kind: EventKind;
  readonly body: EventMembers;
}

/** What a client's options say of its events. */
export interface EventOptions {
  readonly flushMs?: number;
  readonly mostEvents?: number;
  readonly firstBackoffMs?: number;
  readonly mostBackoffMs?: number;
}

const MOST_IN_REQUEST = 100;
// All requests that outlive a page may carry 64 KB together; a browser refuses more.
const MOST_KEPT_BYTES = 60_000;
const MOST_PAUSE_MS = 600_000;

/** Sends events to one platform with one key. */
export class Events {
  /** They found no room, or were no use to the server. */
  lost = 0;
  #waiting: Waiting[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isClosed = false;
  #notBefore = 0;
  #failures = 0;
  #keptBytes = 0;
  readonly #url: string;
  readonly #key: string;
  readonly #options: Required<EventOptions>;

  constructor(url: string, key: string, options: EventOptions = {}) {
    this.#url = url;
    this.#key = key;
    const { flushMs = 2_000, mostEvents = 1_000, firstBackoffMs = 1_000, mostBackoffMs = 60_000 } = options;
    this.#options = { flushMs, mostEvents, firstBackoffMs, mostBackoffMs };
    globalThis.addEventListener?.("pagehide", this.#leave);
    globalThis.document?.addEventListener("visibilitychange", this.#leave);
  }

  get pending(): number {
    return this.#waiting.length;
  }

  /** Writes the event down as it is now. Events that JSON cannot say are lost. */
  add(kind: EventKind, members: EventMembers): void {
    const id = { [kind === "exposure" ? "evaluationId" : "id"]: uuid7() };
    const body = jsonOf({ ...id, timestamp: new Date(), ...members });
    if (body === undefined || this.#waiting.length >= this.#options.mostEvents) this.lost += 1;
    else this.#waiting.push({ kind, body });
    this.#arm(this.#options.flushMs);
  }

  /** Sends what waits; true where nothing waits any more. What cannot be sent waits for the next time. */
  async flush(): Promise<boolean> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (Date.now() < this.#notBefore) {
      this.#arm(this.#notBefore - Date.now());
      return false;
    }
    const waiting = this.#waiting;
    this.#waiting = [];
    const batches: Promise<void>[] = [];
    for (const kind of ["exposure", "conversion", "metrics"] as const) {
      const own = waiting.filter((one) => one.kind === kind);
      for (let at = 0; at < own.length; at += MOST_IN_REQUEST) {
        batches.push(this.#send(kind, own.slice(at, at + MOST_IN_REQUEST)));
      }
    }
    await Promise.all(batches);
    return this.#waiting.length === 0;
  }

  async close(): Promise<void> {
    globalThis.removeEventListener?.("pagehide", this.#leave);
    globalThis.document?.removeEventListener("visibilitychange", this.#leave);
    await this.flush();
    // What is still under way may fail: nobody tries again.
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }

  #leave = ({ type }: Event): void => {
    if (type === "pagehide" || document.visibilityState === "hidden") void this.flush();
  };

  #arm(milliseconds: number): void {
    if (!this.#isClosed) this.#timer ??= setTimeout(() => void this.flush(), milliseconds);
  }

  async #send(kind: EventKind, batch: Waiting[]): Promise<void> {
    let status = 0;
    let wanted = 0;
    const content = new TextEncoder().encode(JSON.stringify({ events: batch.map(({ body }) => body) }));
    const keepalive = this.#keptBytes + content.length <= MOST_KEPT_BYTES;
    const kept = keepalive ? content.length : 0;
    this.#keptBytes += kept;
    try {
      const response = await fetch(`${this.#url}/api/events/${kind}`, {
        method: "POST",
        keepalive,
        headers: { Authorization: `Bearer ${this.#key}`, "Content-Type": "application/json" },
        body: content,
      });
      status = response.status;
      wanted = Math.min(Number(response.headers.get("Retry-After")) * 1_000 || 0, MOST_PAUSE_MS);
    } catch {
      // The network is away: they wait.
    }
    this.#keptBytes -= kept;
    if (status === 202) {
      this.#failures = 0;
      return;
    }
    if (status === 413 && batch.length > 1) {
      const half = batch.length >> 1;
      await Promise.all([this.#send(kind, batch.slice(0, half)), this.#send(kind, batch.slice(half))]);
      return;
    }
    if (status >= 400 && status < 500 && status !== 429 && status !== 401 && status !== 403) {
      this.lost += batch.length;
      return;
    }
    // The same ids, so that an event that came through counts once.
    const { mostEvents, firstBackoffMs, mostBackoffMs } = this.#options;
    const waiting = [...batch, ...this.#waiting];
    this.#waiting = waiting.slice(0, mostEvents);
    this.lost += waiting.length - this.#waiting.length;
    const ceiling = Math.min(firstBackoffMs * 2 ** this.#failures, mostBackoffMs);
    const pause = Math.max(ceiling * (0.5 + Math.random() / 2), wanted);
    this.#failures += 1;
    this.#notBefore = Date.now() + pause;
    this.#arm(pause);
  }
}

function jsonOf(members: EventMembers): EventMembers | undefined {
  try {
    return JSON.parse(JSON.stringify(members)) as EventMembers;
  } catch {
    return undefined;
  }
}

/** An id that sorts by time, as the event store likes it (RFC 9562, version 7). */
function uuid7(): string {
  const hex = (number: number, size: number) => number.toString(16).padStart(size, "0");
  const time = hex(Date.now(), 12);
  const random = Array.from(crypto.getRandomValues(new Uint16Array(5)));
  const [first = 0, second = 0, ...rest] = random;
  const tail = rest.map((one) => hex(one, 4)).join("");
  return `${time.slice(0, 8)}-${time.slice(8)}-7${hex(first & 0xfff, 3)}-${hex(0x8000 | (second & 0x3fff), 4)}-${tail}`;
}
