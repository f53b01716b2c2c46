/** Follows the configuration: first a snapshot, then the stream. It polls while there is no stream. */

import type { Settled } from "../client/options.js";
import { Backoff } from "../transport/backoff.js";
import { type Endpoint, endpointOf } from "../transport/endpoint.js";
import { type Headers, HttpError, type OpenResponse, open, readRefusal, request, type Way } from "../transport/http.js";
import { Pauses } from "../transport/pauses.js";
import { ageOf, RefusedError, reasonIn, StreamRefusedError, targetOf } from "../transport/refusals.js";
import { EventParser, EventTooLargeError, type ServerEvent } from "../transport/sse.js";
import { REDIRECTS, STREAM_HEADER, StreamAddress } from "./addresses.js";
import type { Configuration } from "./configuration.js";
import {
  checkSignature,
  isKnownKind,
  type Proof,
  parseSnapshot,
  ResyncNeededError,
  SnapshotError,
  signedSnapshotIn,
  versionOfEvent,
} from "./snapshots.js";

export type Connection = "starting" | "streaming" | "polling" | "reconnecting" | "refused";

const MOST_REDIRECTS = 3;
// An event may take longer than a keep-alive, where it is large; at least this much of it has to come each second.
const LEAST_CHARACTERS_A_SECOND = 16 * 1024;
// What another try will not soon change: asked again with long pauses. The first is ten times a usual one.
const REFUSALS: ReadonlySet<number> = new Set([401, 403, 404]);
const KEY_REFUSALS: ReadonlySet<number> = new Set([401, 403]);
const REFUSAL_FACTOR = 10;
const GOOD_POLLS = 2;

/** What the synchroniser tells its client. Neither may throw. */
export interface Follower {
  /** A configuration was applied. */
  applied(): void;
  connectionIs(state: Connection): void;
  /** Nothing can be had, for a reason that was not said before. */
  failed(reason: string): void;
}

export class Synchroniser {
  error: string | undefined;
  reconnects = 0;
  readonly #configuration: Configuration;
  readonly #api: Endpoint;
  readonly #address: StreamAddress;
  readonly #headers: Headers;
  readonly #options: Settled;
  readonly #way: Way;
  readonly #follower: Follower;
  readonly #pauses: Pauses;
  readonly #backoff: Backoff;
  readonly #refusals: Backoff;
  readonly #isStreaming: boolean;
  #state: Connection = "starting";
  #isFetched = false;
  #pauseMs = 0;
  #serverRetryMs = 0;
  #goodPolls = 0;
  // Whether the API says how old its news is; then it alone says that it is current.
  #saysAge = false;
  #senderAgeMs = 0;
  // Whether the present stream has brought anything.
  #isAlive = false;
  #nextPollAt: number;

  constructor(
    configuration: Configuration,
    url: string,
    headers: Headers,
    options: Settled,
    way: Way,
    follower: Follower,
  ) {
    this.#configuration = configuration;
    this.#api = endpointOf(url, options.proxy);
    this.#address = new StreamAddress(this.#api, options.streamUrl, options.proxy);
    this.#headers = headers;
    this.#options = options;
    this.#way = way;
    this.#follower = follower;
    this.#pauses = new Pauses(way.signal);
    this.#isStreaming = options.mode === "stream";
    this.#backoff = new Backoff(options.firstBackoffMs, options.mostBackoffMs);
    const firstRefusal = Math.min(REFUSAL_FACTOR * options.firstBackoffMs, options.mostRefusedMs);
    this.#refusals = new Backoff(firstRefusal, options.mostRefusedMs);
    this.#nextPollAt = performance.now() + options.pollAfterMs;
  }

  get state(): Connection {
    return this.#state;
  }

  /** Runs until everything ends. */
  async run(): Promise<void> {
    while (!this.#isOver) {
      try {
        if (!this.#isFetched || !this.#isStreaming) await this.#resync();
        if (this.#isStreaming) await this.#stream();
      } catch (error) {
        this.#noteFailure(error);
      }
      await this.#wait();
    }
  }

  /** Asks for the snapshot once; `error` says what was wrong. */
  async runOnce(): Promise<void> {
    try {
      await this.#fetch();
    } catch (error) {
      this.#noteFailure(error);
    }
  }

  get #isOver(): boolean {
    return this.#way.signal.aborted;
  }

  #become(state: Connection): void {
    if (state === this.#state) return;
    this.#state = state;
    this.#follower.connectionIs(state);
  }

  /** Waits for the next attempt at a stream, and polls meanwhile when it is due. */
  async #wait(): Promise<void> {
    const isPollDue = !this.#isStreaming && this.error === undefined;
    const pause = isPollDue
      ? this.#jitteredPollMs()
      : Math.max(this.#pauseMs || this.#backoff.nextMs(), this.#serverRetryMs);
    this.#pauseMs = this.#serverRetryMs = 0;
    const until = performance.now() + pause;
    const isPolling = () => this.#isStreaming && this.#isFetched;
    for (let now = performance.now(); now < until && !this.#isOver; now = performance.now()) {
      if (isPolling() && now >= this.#nextPollAt) await this.#poll();
      else await this.#pauses.wait(Math.min(until, isPolling() ? this.#nextPollAt : until) - now);
    }
    if (isPolling() && performance.now() >= this.#nextPollAt && !this.#isOver) await this.#poll();
    this.#pauseMs = 0;
  }

  /** Asks for the snapshot. The client counts as polling while that succeeds, whatever happens to the stream. */
  async #poll(): Promise<void> {
    this.#nextPollAt = performance.now() + this.#jitteredPollMs();
    try {
      await this.#fetch();
      this.#become("polling");
    } catch (error) {
      this.#noteFailure(error, true);
      this.#nextPollAt = Math.max(this.#nextPollAt, performance.now() + this.#pauseMs);
    }
  }

  #jitteredPollMs(): number {
    return this.#options.pollMs * (0.75 + Math.random() / 2);
  }

  /** As `#fetch`. Throws too where events prove nothing and the snapshot is older than they. */
  async #resync(): Promise<void> {
    await this.#fetch();
    const isBound = this.#isStreaming && this.#options.signingSecret !== undefined;
    if (isBound && this.#configuration.isBehind) {
      throw new ResyncNeededError("the snapshot is older than what the stream tells");
    }
  }

  /** Fetches the snapshot, unless the present one is current. */
  async #fetch(): Promise<void> {
    const { etag } = this.#configuration;
    const headers = {
      ...this.#headers,
      Accept: "application/json",
      "Accept-Encoding": "gzip",
      ...(etag === undefined ? {} : { "If-None-Match": etag }),
    };
    const sent = { method: "GET", path: "/api/snapshot", headers } as const;
    const response = await request(this.#api, sent, this.#way, this.#options.answerMs);
    if (REDIRECTS.has(response.status)) {
      throw new RefusedError(response, "GET snapshot", `it is at ${targetOf(response.headers)}; give that address`);
    }
    if (response.status !== 200 && response.status !== 304) {
      throw new RefusedError(response, "GET snapshot", reasonIn(response.body));
    }
    this.#address.note(response.headers[STREAM_HEADER]);
    const age = ageOf(response.headers);
    this.#saysAge = age !== undefined;
    this.#senderAgeMs = age ?? 0;
    if (response.status === 304) {
      this.#configuration.confirmFetched(this.#senderAgeMs);
    } else {
      const proof = this.#proofOf(response.body, response.headers);
      const environment = parseSnapshot(response.body.toString(), this.#configuration.environment);
      this.#configuration.replace(environment, { etag: response.headers.etag, ageMs: this.#senderAgeMs, proof });
      this.#follower.applied();
    }
    this.#isFetched = true;
    if (!this.#isStreaming) this.#noteGoodPoll();
    else if (this.#state === "refused") this.#become("reconnecting");
  }

  #noteGoodPoll(): void {
    this.#become("polling");
    this.error = undefined;
    this.#goodPolls += 1;
    if (this.#goodPolls < GOOD_POLLS) return;
    this.#backoff.reset();
    this.#refusals.reset();
  }

  /** The signatures that came with a snapshot, checked; undefined where none are asked for. Throws `SnapshotError`. */
  #proofOf(body: Buffer, headers: Headers): Proof | undefined {
    const secret = this.#options.signingSecret;
    if (secret === undefined) return undefined;
    // While a secret is being replaced, the server signs with the one before it too.
    const found = [headers["x-signature"], headers["x-signature-previous"]];
    const signatures = found.filter((signature) => signature !== undefined);
    checkSignature(body, secret, signatures);
    return { body: body.toString(), signatures };
  }

  /** Follows the stream until it ends. Throws where it does not begin, or does not end in order. */
  async #stream(): Promise<void> {
    const response = await this.#open();
    const since = performance.now();
    try {
      this.#noteStream(response);
      await this.#follow(response);
    } finally {
      response.close();
      this.#noteEnd(since);
    }
    this.#noteLost();
  }

  /** Asks for the stream where it is, and goes where a server that may do so sends us. */
  async #open(): Promise<OpenResponse> {
    const headers = {
      ...this.#headers,
      Accept: "text/event-stream",
      "Cache-Control": "no-cache",
      "Last-Event-ID": String(this.#configuration.version),
    };
    let endpoint = this.#address.current;
    let path = "/api/stream";
    for (let redirects = 0; ; redirects += 1) {
      const response = await this.#opened(endpoint, path, headers);
      const { status, headers: said } = response;
      if (status === 200 && said["content-type"]?.startsWith("text/event-stream")) return response;
      const problem = await this.#problemOf(response);
      response.close();
      const isRedirect = REDIRECTS.has(status) && redirects + 1 < MOST_REDIRECTS;
      const target = isRedirect ? this.#address.redirected(endpoint, path, said.location ?? "") : undefined;
      if (target === undefined) {
        if (!KEY_REFUSALS.has(status)) this.#address.noteFailure();
        throw new StreamRefusedError(response, "GET stream", problem);
      }
      ({ endpoint, path } = target);
    }
  }

  async #opened(endpoint: Endpoint, path: string, headers: Headers): Promise<OpenResponse> {
    try {
      return await open(endpoint, { method: "GET", path, headers }, this.#way);
    } catch (error) {
      this.#address.noteFailure();
      throw error;
    }
  }

  async #problemOf(response: OpenResponse): Promise<string> {
    const { status, headers } = response;
    if (REDIRECTS.has(status)) {
      return `it is at ${targetOf(headers)}, which the snapshot does not name; give it as streamUrl`;
    }
    if (status === 200) return `it is '${headers["content-type"] ?? "of no type"}', and no event stream`;
    return reasonIn(await readRefusal(response, this.#options.connectMs));
  }

  #noteStream({ headers }: OpenResponse): void {
    this.#become("streaming");
    this.error = undefined;
    this.#refusals.reset();
    // What an earlier failure asked for is no pause after this stream.
    this.#pauseMs = 0;
    const age = ageOf(headers);
    if (age !== undefined || !this.#saysAge) this.#noteAge(age ?? 0);
  }

  #noteAge(milliseconds: number): void {
    this.#senderAgeMs = milliseconds;
    this.#configuration.confirm(milliseconds);
  }

  #noteEnd(since: number): void {
    const now = performance.now();
    if (now - since >= this.#options.healthyMs) this.#backoff.reset();
    if (!this.#isAlive) return;
    // It brought something. One that is cut before that leaves the poll where it was due.
    this.#isAlive = false;
    this.#nextPollAt = now + this.#options.pollAfterMs;
  }

  async #follow({ stream }: OpenResponse): Promise<void> {
    const parser = new EventParser();
    const { silenceMs } = this.#options;
    let signAt = performance.now();
    let timer: NodeJS.Timeout | undefined;
    const late = new HttpError(`timed out: no sign of life on the stream for ${silenceMs / 1000} s`);
    const arm = () => {
      clearTimeout(timer);
      const allowed = silenceMs + (parser.waiting / LEAST_CHARACTERS_A_SECOND) * 1000;
      timer = setTimeout(() => stream.destroy(late), signAt + allowed - performance.now()).unref();
    };
    arm();
    try {
      for await (const bytes of stream as AsyncIterable<Buffer>) {
        const { comments } = parser;
        const events = parser.feed(bytes);
        if (parser.retryMs !== undefined) {
          this.#serverRetryMs = Math.min(parser.retryMs, this.#options.mostBackoffMs);
        }
        // Part of an event, or a byte now and then, is no sign that its sender is well.
        if (parser.comments !== comments || events.length > 0) {
          signAt = performance.now();
          this.#isAlive = true;
          if (parser.comments !== comments) this.#noteAge(parser.ageMs ?? 0);
          // An event is news. It is no proof where its sender has said that it hears nothing itself.
          else if (this.#senderAgeMs < this.#options.staleAfterMs) this.#configuration.confirm();
        }
        if (events.length > 0) await this.#take(events);
        arm();
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /** Applies the events, or fetches the snapshot. */
  async #take(events: readonly ServerEvent[]): Promise<void> {
    const secret = this.#options.signingSecret;
    if (secret !== undefined) await this.#takeSigned(events, secret);
    else if (this.#configuration.apply(events)) this.#follower.applied();
  }

  /** Applies one signed snapshot, unless it is an old one that somebody replays. */
  async #takeSigned(events: readonly ServerEvent[], secret: string): Promise<void> {
    const proof = signedSnapshotIn(events, secret);
    if (proof !== undefined) {
      const environment = parseSnapshot(proof.body, this.#configuration.environment);
      if (environment.version >= this.#configuration.version) {
        this.#configuration.replace(environment, { isFromStream: true, proof });
        this.#follower.applied();
        return;
      }
    }
    // What bears no signature is taken as news that there is something to fetch.
    const told = events.filter((event) => isKnownKind(event.kind)).map(versionOfEvent);
    if (told.some((version) => version !== this.#configuration.version)) {
      this.#configuration.hear(Math.max(0, ...told.map((version) => version ?? 0)));
      await this.#resync();
    }
  }

  #noteLost(isPolling = true): void {
    if (this.#state !== "polling" || !isPolling) this.#become("reconnecting");
    this.reconnects += 1;
  }

  /** The key is refused. Where that is by the stream alone, the snapshot decides whether it works. */
  #noteKeyRefused(isByStream: boolean): void {
    this.reconnects += 1;
    if (!isByStream) {
      this.#become("refused");
    } else if (this.#state !== "polling" && this.#state !== "refused") {
      this.#become("reconnecting");
      this.#nextPollAt = performance.now();
    }
  }

  #noteFailure(error: unknown, isPoll = false): void {
    if (this.#isOver) return;
    const text = this.#textOf(error);
    if (text !== this.error) this.#follower.failed(text);
    this.error = text;
    this.#goodPolls = 0;
    const isUnusable = error instanceof SnapshotError || error instanceof ResyncNeededError;
    if (isUnusable || error instanceof EventTooLargeError) this.#isFetched = false;
    const refusal = error instanceof RefusedError ? error : undefined;
    if (refusal !== undefined && KEY_REFUSALS.has(refusal.status)) {
      this.#noteKeyRefused(refusal instanceof StreamRefusedError);
    } else {
      this.#noteLost(!isPoll);
    }
    const isRefusal = refusal !== undefined && REFUSALS.has(refusal.status);
    this.#pauseMs = (isRefusal ? this.#refusals : this.#backoff).nextMs();
    // Jittered upwards, so that all who were refused at once do not come back at once.
    const retryAfter = (refusal?.retryAfterMs ?? 0) * (1 + Math.random() / 4);
    this.#pauseMs = Math.max(this.#pauseMs, retryAfter);
  }

  #textOf(error: unknown): string {
    const key = (this.#headers.Authorization ?? "").replace(/^Bearer /, "");
    const found = error instanceof Error ? error.message || error.name : String(error);
    // A server may repeat what it was sent.
    return key === "" ? found : found.replaceAll(key, "…");
  }
}
