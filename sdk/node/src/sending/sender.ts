/** Sends events in batches, acknowledges versions, and keeps the last good snapshot, in the background. */

import type { Voice } from "../client/logger.js";
import type { Settled } from "../client/options.js";
import { FEATURES } from "../engine/index.js";
import type { Configuration } from "../following/configuration.js";
import type { Keeper } from "../keeping/keeper.js";
import { Backoff } from "../transport/backoff.js";
import type { Pauses } from "../transport/pauses.js";
import { errorsIn, retryAfterOf } from "../transport/refusals.js";
import { type EventKind, type EventQueue, KINDS } from "./events.js";
import { uuid7 } from "./ids.js";
import type { Poster } from "./poster.js";
import { receiptOf, summedUp } from "./receipts.js";
import type { Summaries } from "./summaries.js";

const MOST_EVENTS_IN_REQUEST = 1_000;
const MOST_KEYS = 50;
const ACK_AGAIN_MS = 10_000;
const GOODBYE_MS = 1_000;
const RETRY_MS = 200;
const LEAST_PAUSE_MS = 10;
const REFUSED_FOR_GOOD: ReadonlySet<number> = new Set([400, 413, 422]);
// After so many failures in a row, one batch is tried after a longer pause.
const MANY_FAILURES = 5;
// Between two warnings of events that found no room: while the server is away, each sending finds some.
const SAY_DROPPED_MS = 60_000;
const LONG_PAUSE_MS = 30_000;

interface Batch {
  readonly kind: EventKind;
  /** Each as JSON. */
  readonly events: readonly string[];
  /** The same at every attempt, so that the platform takes the batch once. */
  readonly id: string;
}

/** What a sender works with. */
export interface SenderParts {
  readonly configuration: Configuration;
  readonly queue: EventQueue;
  readonly summaries: Summaries;
  readonly keeper: Keeper;
  /** For events and summaries. */
  readonly events: Poster;
  /** For acknowledgements. */
  readonly stream: Poster;
  readonly options: Settled;
  readonly pauses: Pauses;
  readonly voice: Voice;
  readonly instance: string;
  readonly sdk: string;
}

export class Sender {
  sent = 0;
  rejected = 0;
  lost = 0;
  error: string | undefined;
  readonly #parts: SenderParts;
  readonly #backoff: Backoff;
  #waiting: Batch[] = [];
  #isClosing = false;
  #closeBy = Number.POSITIVE_INFINITY;
  #flushesAsked = 0;
  #flushesDone = 0;
  #whenFlushed: (() => void)[] = [];
  #droppedSaid = 0;
  #sayDroppedAt = 0;
  #flushAt: number;
  #retryAt = 0;
  #ackAt = 0;
  // Until then the server wants no events, and gets none, flush or not.
  #barredUntil = 0;
  #ackedVersion = -1;
  // The last flush without `run`: of several, one sends at a time.
  #alone: Promise<void> = Promise.resolve();

  constructor(parts: SenderParts) {
    this.#parts = parts;
    const { firstBackoffMs, mostBackoffMs, flushMs } = parts.options;
    this.#backoff = new Backoff(firstBackoffMs, mostBackoffMs);
    this.#flushAt = performance.now() + flushMs;
  }

  get pending(): number {
    return this.#waiting.reduce((count, batch) => count + batch.events.length, this.#parts.queue.size);
  }

  /** Asks `run` for an attempt to send everything now, and waits for its end. */
  async flushed(): Promise<void> {
    this.#flushesAsked += 1;
    const done = new Promise<void>((resolve) => this.#whenFlushed.push(resolve));
    this.#parts.pauses.wake();
    await done;
  }

  /** Makes `run` send the remaining events and end; it gives up after that time. */
  end(withinMs: number): void {
    this.#isClosing = true;
    this.#closeBy = performance.now() + withinMs;
    this.#parts.pauses.wake();
  }

  /** Runs until `end`. */
  async run(): Promise<void> {
    const { summaries, keeper, pauses } = this.#parts;
    await this.#alone;
    while (!this.#isClosing) {
      const asked = this.#flushesAsked;
      summaries.sumUp();
      if (this.#isFlushDue(asked)) {
        await this.#flush(asked > this.#flushesDone);
        this.#noteFlushed(asked);
      }
      await this.#sendSummaries();
      await this.#acknowledge();
      await keeper.save();
      if (!this.#isClosing && this.#flushesAsked <= this.#flushesDone) await pauses.wait(this.#idleMs());
    }
    await this.#close();
    this.#noteFlushed(this.#flushesAsked);
  }

  /** Sends everything now, for at most that time, and says which version is applied; nothing is left to run. */
  async runFlush(withinMs: number): Promise<void> {
    const until = performance.now() + withinMs;
    const own = this.#alone.then(() => this.#flushAlone(until));
    this.#alone = own.catch(() => undefined);
    await own;
  }

  async #flushAlone(until: number): Promise<void> {
    for (;;) {
      await this.#flush(true);
      const left = until - performance.now();
      // `run` sends what is left by itself.
      if (this.pending === 0 || left <= 0 || this.#isClosing) break;
      await this.#parts.pauses.wait(Math.min(RETRY_MS, left));
    }
    this.#parts.summaries.sumUp();
    await this.#sendSummaries();
    await this.#acknowledge();
    await this.#parts.keeper.save();
  }

  #noteFlushed(asked: number): void {
    this.#flushesDone = Math.max(this.#flushesDone, asked);
    for (const resolve of this.#whenFlushed.splice(0)) resolve();
  }

  #isFlushDue(asked: number): boolean {
    const now = performance.now();
    if (asked > this.#flushesDone) return true;
    if (now < this.#retryAt) return false;
    const { queue, options } = this.#parts;
    return this.#waiting.length > 0 || now >= this.#flushAt || queue.size >= options.flushCount;
  }

  #idleMs(): number {
    const { summaries, queue, options, keeper, configuration } = this.#parts;
    const now = performance.now();
    const times = [summaries.dueAt];
    if (this.#waiting.length > 0) times.push(Math.max(this.#retryAt, now));
    // There is nothing to send. The first event does not wake the sender, so look again after the window.
    else times.push(queue.size === 0 ? now + options.flushMs : this.#flushAt);
    if (keeper.dueAt !== undefined) times.push(keeper.dueAt);
    if (configuration.source === "network" && this.#ackedVersion !== configuration.version) times.push(this.#ackAt);
    return Math.max(LEAST_PAUSE_MS, Math.min(...times) - now);
  }

  /**
   * Sends the waiting batches, then the queued events; stops at the first failure.
   *
   * Events that arrive meanwhile wait for the next batch, unless a flush was asked for.
   */
  async #flush(isAsked: boolean): Promise<void> {
    const { queue, options } = this.#parts;
    const now = performance.now();
    if (now >= this.#flushAt) {
      // Unsent events still belong to their window: while the server is away, repeats must not take the room of others.
      if (this.#waiting.length === 0) queue.beginWindow();
      this.#flushAt = now + options.flushMs;
    }
    this.#sayDropped();
    if (!options.isSendingEvents || now < (isAsked ? this.#barredUntil : this.#retryAt)) return;
    do {
      const left = new Map(KINDS.map((kind) => [kind, queue.count(kind)]));
      for (let batch = this.#nextBatch(left); batch !== undefined; batch = this.#nextBatch(left)) {
        if (!(await this.#send(batch))) return;
        this.#waiting = this.#waiting.filter((other) => other !== batch);
      }
    } while (isAsked && queue.size > 0);
  }

  #sayDropped(): void {
    const { dropped } = this.#parts.queue;
    const now = performance.now();
    if (dropped === this.#droppedSaid || (now < this.#sayDroppedAt && !this.#isClosing)) return;
    this.#sayDroppedAt = now + SAY_DROPPED_MS;
    this.#parts.voice.warn(`${dropped - this.#droppedSaid} events found no room and were dropped`);
    this.#droppedSaid = dropped;
  }

  /** The waiting batch, or else the next one of the events that were queued, by kind. */
  #nextBatch(left: Map<EventKind, number>): Batch | undefined {
    const [first] = this.#waiting;
    if (first !== undefined) return first;
    for (const [kind, count] of left) {
      // The hook may drop all of a thousand, and more may wait behind them.
      for (let at = count; at > 0; ) {
        const most = Math.min(at, MOST_EVENTS_IN_REQUEST);
        at -= most;
        left.set(kind, at);
        const events = this.#parts.queue.take(kind, most);
        if (events.length === 0) continue;
        const batch = { kind, events, id: uuid7() };
        this.#waiting.push(batch);
        return batch;
      }
    }
    return undefined;
  }

  /** Sends the batch; true where it is finished: accepted, or refused for good. */
  async #send(batch: Batch): Promise<boolean> {
    const { kind, events, id } = batch;
    const { voice } = this.#parts;
    let response: Awaited<ReturnType<Poster["post"]>>;
    try {
      response = await this.#parts.events.post(
        `events/${kind}`,
        `{"events":[${events.join(",")}]}`,
        this.#withinMs,
        id,
      );
    } catch (error) {
      this.#noteFailure(error instanceof Error ? error.message || error.name : String(error));
      return false;
    }
    const { status } = response;
    const receipt = receiptOf(response);
    if (receipt !== undefined) {
      this.#noteAccepted(batch, receipt);
      return true;
    }
    const [error] = errorsIn(response.body);
    const reason = error === undefined ? "" : ` (${error.code}: ${error.detail})`;
    if (status === 413 && events.length > 1) {
      const half = events.length >> 1;
      this.#waiting.splice(1, 0, { kind, events: events.slice(0, half), id: uuid7() });
      this.#waiting.splice(2, 0, { kind, events: events.slice(half), id: uuid7() });
      return true;
    }
    if (REFUSED_FOR_GOOD.has(status)) {
      this.lost += events.length;
      voice.warn(`the server refused ${events.length} events with ${status}${reason}: they are dropped`);
      return true;
    }
    const without = status < 300 ? " without a receipt" : "";
    this.#noteFailure(`the server answered ${status}${without} to events${reason}`, retryAfterOf(response.headers));
    return false;
  }

  /** What a post may take. */
  get #withinMs(): number {
    return Math.max(100, Math.min(this.#parts.options.connectMs, this.#closeBy - performance.now()));
  }

  #noteAccepted({ events }: Batch, refused: readonly string[]): void {
    if (refused.length > 0) {
      this.#parts.voice.warn(`the server rejected ${refused.length} of ${events.length} events: ${summedUp(refused)}`);
    }
    this.error = undefined;
    this.#backoff.reset();
    this.#retryAt = this.#barredUntil = performance.now();
    this.rejected += refused.length;
    this.sent += events.length - refused.length;
  }

  #noteFailure(text: string, wantedMs = 0): void {
    if (text !== this.error) this.#parts.voice.warn(`events could not be sent: ${text}; ${this.pending} wait`);
    this.error = text;
    let pause = this.#backoff.nextMs();
    if (this.#backoff.failures >= MANY_FAILURES) pause = Math.max(pause, LONG_PAUSE_MS);
    const now = performance.now();
    if (wantedMs > 0) this.#barredUntil = now + wantedMs;
    this.#retryAt = now + Math.max(pause, wantedMs);
  }

  async #sendSummaries(): Promise<void> {
    await this.#parts.summaries.send((text, id) => this.#parts.events.post("events/usage", text, this.#withinMs, id));
  }

  /** Tells the server which version is applied. Only the latest matters, so a failure is retried later. */
  async #acknowledge(): Promise<void> {
    const { environment, source, version } = this.#parts.configuration;
    if (source !== "network" || version === this.#ackedVersion || performance.now() < this.#ackAt) return;
    const { flags, segments } = environment.notUnderstood;
    const notUnderstood = {
      flags: flags.slice(0, MOST_KEYS),
      segments: segments.slice(0, MOST_KEYS),
      count: flags.length + segments.length,
    };
    if (await this.#said({ version, features: FEATURES, notUnderstood }, this.#withinMs)) this.#ackedVersion = version;
    else this.#ackAt = performance.now() + ACK_AGAIN_MS;
  }

  async #said(body: object, withinMs: number): Promise<boolean> {
    const { instance, sdk, stream } = this.#parts;
    try {
      const { status } = await stream.post("stream/ack", JSON.stringify({ instance, sdk, ...body }), withinMs);
      // A server without this route, or one that refuses, would do so again: wait for the next version.
      return status < 500 && status !== 429;
    } catch {
      return false;
    }
  }

  async #close(): Promise<void> {
    const { options, voice, summaries, keeper, configuration, pauses } = this.#parts;
    const left = () => this.#closeBy - performance.now();
    while (this.pending > 0 && options.isSendingEvents && left() > 0) {
      this.#retryAt = performance.now();
      await this.#flush(true);
      if (this.error !== undefined && this.pending > 0) await pauses.wait(Math.min(RETRY_MS, left()));
    }
    if (this.pending > 0 && options.isSendingEvents) {
      this.lost += this.pending;
      voice.warn(`closed with ${this.pending} events that could not be sent`);
    }
    summaries.sumUp(true);
    await this.#sendSummaries();
    await keeper.save(true);
    // Nobody needs to wait for this instance any more, where the server has heard of it.
    if (this.#ackedVersion < 0) return;
    const withinMs = Math.min(GOODBYE_MS, Math.max(100, left()));
    await this.#said({ version: configuration.version, goodbye: true }, withinMs);
  }
}
