/**
 * FlagShip's SDK for the browser: one user's answers over OFREP, kept current by an event stream.
 *
 * Rules stay on the platform: a page has a client key, which gets answers and sends events, and nothing else.
 */

import {
  type Answer,
  type Answers,
  answersOf,
  type Bootstrap,
  type Bulk,
  type Context,
  Copies,
  isLogged,
  unitOf,
  writtenFor,
} from "./answers.js";
import { Events } from "./events.js";

export type { Answer, Bootstrap, Bulk, Context } from "./answers.js";

/** Times are in milliseconds. */
export interface Options {
  /** Who is asked for; `identify` changes it. */
  readonly context?: Context;
  /** The answers for this context, as a server wrote them into the page. */
  readonly bootstrap?: Bootstrap;
  /** Whether the last answers are kept in the browser's storage. On unless said otherwise. */
  readonly isStoring?: boolean;
  /** Whether exposures and events are sent. On unless said otherwise. */
  readonly isSendingEvents?: boolean;
  /** Whether changes are followed while the page is open. On unless said otherwise. */
  readonly isStreaming?: boolean;
  /** Between questions while there is no stream. */
  readonly pollMs?: number;
  /** For a whole answer. */
  readonly answerMs?: number;
  /** Without a sign of life on a stream whose keep-alives a page can hear. */
  readonly silenceMs?: number;
  /** The ceiling of the first pause after a failure; each failure doubles it, up to `mostBackoffMs`. */
  readonly firstBackoffMs?: number;
  readonly mostBackoffMs?: number;
  /** Until events are sent. */
  readonly flushMs?: number;
  /** So many events wait at most; more are dropped and counted. */
  readonly mostEvents?: number;
}

/** Called with the keys whose values changed. */
export type ChangeListener = (keys: readonly string[]) => void;

/** What an event may have besides its name. */
export interface TrackDetails {
  /** The attribute whose value is the event's unit, as for flags that are split by `deviceId`; `targetingKey` without. */
  readonly unitBy?: string;
  readonly value?: number;
  readonly properties?: Readonly<Record<string, unknown>>;
}

/** A client's present state. */
export interface Status {
  readonly source: Answers["source"];
  readonly configVersion: unknown;
  readonly error: string | undefined;
  /** They wait to be sent. */
  readonly eventsPending: number;
  /** They found no room, or were no use to the server. */
  readonly eventsLost: number;
}

const EMPTY: Bulk = { flags: [] };
const FIRST_BACKOFF_MS = 1_000;
const MOST_BACKOFF_MS = 300_000;
const ANSWER_MS = 10_000;
// Two missed keep-alives.
const SILENCE_MS = 35_000;
// A page that nobody looks at gives its stream back after a while.
const HIDDEN_MS = 120_000;

/** One user's flags on one page. Make one for each page and keep it. */
export class FlagShip {
  /** The network's last complaint; undefined after a good answer. It never holds the key. */
  error: string | undefined;
  readonly #url: string;
  readonly #key: string;
  readonly #options: Options;
  readonly #copies: Copies;
  readonly #events: Events;
  readonly #listeners = new Set<ChangeListener>();
  readonly #shown = new Set<string>();
  #answers: Answers;
  // Who is asked for; the answers are another's until the first answer for this one.
  #context: Context;
  // The present question and the next one, which whoever asks meanwhile shares.
  #asking: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;
  #ending = new AbortController();
  #stream: EventSource | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #silence: ReturnType<typeof setTimeout> | undefined;
  #hiding: ReturnType<typeof setTimeout> | undefined;
  #isTold = false;
  // In a row, of questions and of streams.
  #failures = 0;
  #streamFailures = 0;
  #isClosed = false;

  /** Throws `TypeError` for a key of another kind, which must never reach a page. */
  constructor(clientKey: string, url: string, options: Options = {}) {
    const kind = /^fs_(server|manage|sign|edge)_/.exec(clientKey)?.[0];
    if (kind) throw new TypeError(`Give a client key (fs_client_…). ${kind}… is secret and belongs on a server.`);
    this.#key = clientKey;
    // It may be a path of the page's own origin.
    this.#url = new URL(url, globalThis.document?.baseURI).href.replace(/\/+$/, "");
    this.#options = options;
    this.#context = { ...options.context };
    this.#copies = new Copies(clientKey, options.isStoring !== false);
    this.#events = new Events(this.#url, clientKey, options);
    const bootstrap = writtenFor(this.#context, options.bootstrap);
    this.#answers = bootstrap
      ? answersOf(bootstrap, this.#context, "bootstrap", null)
      : (this.#copies.load(this.#context) ?? answersOf(EMPTY, this.#context, "nothing", null));
    globalThis.document?.addEventListener("visibilitychange", this.#look);
    void this.refresh();
  }

  /** Waits for the network, and says what is served from: network, store, bootstrap or nothing. Never throws. */
  async ready(withinMs = 5_000): Promise<Answers["source"]> {
    if (this.#answers.source !== "network") await within(withinMs, this.#next ?? this.#asking);
    return this.#answers.source;
  }

  /** Whether a boolean flag is true; `otherwise` where there is no boolean answer. */
  isEnabled(key: string, otherwise = false): boolean {
    return this.getValue(key, otherwise);
  }

  /** The flag's value, where it has the default's type. Reading it records that the user was shown it. */
  getValue<Value>(key: string, defaultValue: Value): Value {
    const answer = this.getDetails(key);
    const value = answer?.value;
    if (answer === undefined || !isAlike(value, defaultValue)) return defaultValue;
    this.#expose(answer);
    return value as Value;
  }

  /** As OpenFeature's client names it, for what `flagship generate --lang ts` writes; so are the next three. */
  getBooleanValue(key: string, defaultValue: boolean): boolean {
    return this.getValue(key, defaultValue);
  }

  getStringValue(key: string, defaultValue: string): string {
    return this.getValue(key, defaultValue);
  }

  getNumberValue(key: string, defaultValue: number): number {
    return this.getValue(key, defaultValue);
  }

  getObjectValue<Value>(key: string, defaultValue: Value): Value {
    return this.getValue(key, defaultValue);
  }

  /** The answer of a flag, without recording that it was shown; undefined where there is none. */
  getDetails(key: string): Answer | undefined {
    return this.#answers.flags.get(key);
  }

  /** Whose answers are served, from where, and at which version of the configuration. */
  status(): Status {
    const { source, version: configVersion } = this.#answers;
    const { pending: eventsPending, lost: eventsLost } = this.#events;
    return { source, configVersion, error: this.error, eventsPending, eventsLost };
  }

  /**
   * Asks for another user, or for other attributes. The present values stay until the others are there, and then
   * change all at once. Where the network gives none, the user's kept answers serve, or else the defaults.
   */
  async identify(user: Context): Promise<void> {
    const context = { ...user };
    this.#context = context;
    // What is being asked is of no use any more.
    this.#ending.abort();
    this.#ending = new AbortController();
    this.#stopStream();
    await this.refresh();
    if (this.#context === context && this.#answers.context !== context) {
      this.#take(this.#copies.load(context) ?? answersOf(EMPTY, context, "nothing", null));
    }
  }

  /** Records a conversion of the present user. */
  track(eventName: string, details: TrackDetails = {}): void {
    this.#track("conversion", { eventName, ...details });
  }

  /** Like `track`, under a metric's key in place of an event's name. */
  trackMetric(metricKey: string, details: TrackDetails = {}): void {
    this.#track("metrics", { metricKey, ...details });
  }

  /** Calls the listener after each change. Call what is returned to end that. */
  onChange(listener: ChangeListener): () => void {
    const own: ChangeListener = (keys) => listener(keys);
    this.#listeners.add(own);
    return () => this.#listeners.delete(own);
  }

  /** Asks the platform now. */
  async refresh(): Promise<void> {
    this.#next ??= this.#asking.then(async () => {
      this.#next = undefined;
      this.#asking = this.#ask();
      await this.#asking;
    });
    await this.#next;
  }

  /** Sends what waits; true where nothing waits any more. */
  async flush(): Promise<boolean> {
    return await this.#events.flush();
  }

  /** Ends the stream and the timers, and sends what waits. The last values stay. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#ending.abort();
    this.#stopStream();
    clearTimeout(this.#timer);
    clearTimeout(this.#hiding);
    globalThis.document?.removeEventListener("visibilitychange", this.#look);
    await Promise.all([this.#asking, this.#events.close()]);
  }

  async #ask(): Promise<void> {
    if (this.#isClosed) return;
    const context = this.#context;
    const ending = this.#ending;
    const { answerMs = ANSWER_MS } = this.#options;
    const late = setTimeout(() => ending.abort(), answerMs);
    // Only a whole answer names the stream.
    const isWhole = this.#answers.context !== context || (this.#isFollowing && this.#stream === undefined);
    const etag = isWhole ? null : this.#answers.etag;
    let pause = 0;
    try {
      const response = await fetch(`${this.#url}/ofrep/v1/evaluate/flags?exposures=none`, {
        method: "POST",
        signal: ending.signal,
        headers: {
          Authorization: `Bearer ${this.#key}`,
          "Content-Type": "application/json",
          ...(etag ? { "If-None-Match": etag } : {}),
        },
        body: JSON.stringify({ context }),
      });
      pause = Number(response.headers.get("Retry-After")) * 1_000 || 0;
      if (response.status !== 304 && !response.ok) throw new Error(`the server answered ${response.status}`);
      const bulk = response.ok ? ((await response.json()) as Bulk) : undefined;
      // Somebody else is asked for by now, or nobody.
      if (context !== this.#context || this.#isClosed) return;
      if (bulk === undefined) this.#answers = { ...this.#answers, source: "network" };
      else this.#receive(bulk, response.headers.get("ETag"));
      this.error = undefined;
      this.#failures = 0;
    } catch (error) {
      if (context !== this.#context || this.#isClosed) return;
      this.error = String(error);
      this.#failures += 1;
      this.#ending = ending.signal.aborted ? new AbortController() : ending;
    } finally {
      clearTimeout(late);
    }
    this.#again(pause);
  }

  #receive(bulk: Bulk, etag: string | null): void {
    this.#take(answersOf(bulk, this.#context, "network", etag));
    this.#copies.save(bulk, this.#context, etag);
    this.#follow(bulk);
  }

  get #isFollowing(): boolean {
    return this.#options.isStreaming !== false && globalThis.EventSource !== undefined;
  }

  /** Sets the next question: soon after a failure, now and then without a stream, none beside one. */
  #again(leastMs: number): void {
    clearTimeout(this.#timer);
    if (this.#isClosed || (this.#stream !== undefined && this.#failures === 0)) return;
    const { pollMs = 60_000, firstBackoffMs = FIRST_BACKOFF_MS, mostBackoffMs = MOST_BACKOFF_MS } = this.#options;
    const failures = this.#failures || this.#streamFailures;
    const grown = firstBackoffMs * 2 ** Math.min(failures - 1, 16);
    const ceiling =
      this.#failures > 0 ? Math.min(grown, mostBackoffMs) : Math.min(failures > 0 ? grown : pollMs, pollMs);
    const ask = () => {
      // Nobody looks: `#look` asks once somebody does.
      if (globalThis.document?.visibilityState !== "hidden") void this.refresh();
    };
    // More than a timer can wait would ask at once.
    this.#timer = setTimeout(ask, Math.min(Math.max(ceiling * (0.5 + Math.random() / 2), leastMs), 2 ** 31 - 1));
  }

  #take(answers: Answers): void {
    const before = this.#answers.flags;
    this.#answers = answers;
    const keys = [...new Set([...before.keys(), ...answers.flags.keys()])].filter(
      (key) => JSON.stringify(before.get(key)?.value) !== JSON.stringify(answers.flags.get(key)?.value),
    );
    if (keys.length > 0) for (const listener of this.#listeners) queueMicrotask(() => listener(keys));
  }

  #follow({ eventStreams: [named] = [] }: Bulk): void {
    const address = named?.url ?? named?.endpoint?.requestUri;
    if (this.#stream !== undefined || !address || !this.#isFollowing) return;
    const stream = new EventSource(new URL(address, named?.endpoint?.origin ?? this.#url));
    this.#stream = stream;
    let wasDown = false;
    const { silenceMs = SILENCE_MS } = this.#options;
    const heard = () => {
      clearTimeout(this.#silence);
      if (stream === this.#stream) this.#silence = setTimeout(() => this.#giveUp(), silenceMs);
    };
    // Pages do not hear comments: the stream of an older server is silent, and is judged by nothing.
    stream.addEventListener("keep-alive", heard);
    stream.onmessage = () => void this.refresh();
    stream.onopen = () => {
      this.#streamFailures = 0;
      // Something may have been missed.
      if (wasDown) void this.refresh();
    };
    stream.onerror = () => {
      wasDown = true;
      // It connects again by itself, unless it was refused: its token is good for an hour.
      if (stream.readyState === EventSource.CLOSED && stream === this.#stream) this.#giveUp();
    };
  }

  /** Another stream takes its place, with a token of its own. */
  #giveUp(): void {
    this.#stopStream();
    this.#streamFailures += 1;
    this.#again(0);
  }

  #stopStream(): void {
    clearTimeout(this.#silence);
    this.#stream?.close();
    this.#stream = undefined;
  }

  /** Gives the stream back where nobody looks, and asks again once somebody does. */
  #look = (): void => {
    if (document.visibilityState === "visible") {
      if (this.#stream === undefined) void this.refresh();
    } else if (this.#stream !== undefined) {
      const stream = this.#stream;
      clearTimeout(this.#hiding);
      this.#hiding = setTimeout(() => {
        if (document.visibilityState !== "visible" && stream === this.#stream) this.#stopStream();
      }, HIDDEN_MS);
    }
  };

  #expose({ key: flagKey, variant, metadata }: Answer): void {
    const { context, version: configVersion } = this.#answers;
    const userId = unitOf(context, metadata);
    const mark = JSON.stringify([userId, flagKey, variant, configVersion]);
    if (!userId || !variant || !isLogged(metadata) || this.#shown.has(mark)) return;
    this.#shown.add(mark);
    this.#add("exposure", { flagKey, userId, variant, configVersion, experiment: metadata?.experiment });
  }

  #track(kind: "conversion" | "metrics", { unitBy = "targetingKey", ...members }: Record<string, unknown>): void {
    const userId = unitOf(this.#context, { bucketBy: String(unitBy) });
    if (userId) this.#add(kind, { userId, ...members });
    else if (!this.#isTold) {
      this.#isTold = true;
      console.warn(`openflagship: an event is not recorded: the context has no ${unitBy} to record it under`);
    }
  }

  #add(kind: "exposure" | "conversion" | "metrics", members: Record<string, unknown>): void {
    const source = kind === "exposure" ? { source: "sdk-web" } : {};
    if (this.#options.isSendingEvents !== false && !this.#isClosed) this.#events.add(kind, { ...source, ...members });
  }
}

function isAlike(value: unknown, wanted: unknown): boolean {
  return wanted === null || wanted === undefined ? value !== undefined : typeof value === typeof wanted;
}

async function within(milliseconds: number, promise: Promise<void> | undefined): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, milliseconds);
  });
  await Promise.race([promise, late]);
  clearTimeout(timer);
}
