/** The client: it follows the configuration, sends events, and evaluates from memory. */

import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { inspect } from "node:util";
import { type Environment, Environment as Environments } from "../engine/index.js";
import { Configuration, type Source } from "../following/configuration.js";
import { type Connection, Synchroniser } from "../following/synchroniser.js";
import { readCopy } from "../keeping/copies.js";
import { Keeper } from "../keeping/keeper.js";
import { FileStore, type Kept, type SnapshotStore } from "../keeping/stores.js";
import { EventQueue } from "../sending/events.js";
import { uuid7 } from "../sending/ids.js";
import { Poster } from "../sending/poster.js";
import { Sender } from "../sending/sender.js";
import { Summaries } from "../sending/summaries.js";
import { Usage } from "../sending/usage.js";
import { Backoff } from "../transport/backoff.js";
import { endpointOf } from "../transport/endpoint.js";
import { Pauses, within } from "../transport/pauses.js";
import { SDK } from "../version.js";
import { Announcer, type ChangeListener } from "./announcer.js";
import { closeAtEnd, isClosed } from "./endings.js";
import { Evaluation, type EvaluationParts } from "./evaluation.js";
import { checkServerKey, fingerprintOf } from "./keys.js";
import { isThenable, Voice } from "./logger.js";
import { type Options, type Settled, settled } from "./options.js";

/** A client's present state, for health checks and people. */
export interface Status {
  readonly connection: Connection | "offline" | "on_demand" | "closed";
  /** Where the configuration came from; with `nothing` callers get their defaults. */
  readonly source: Source;
  readonly configVersion: number;
  readonly isStale: boolean;
  /** Since when the configuration was last known to be current; undefined where it never was. */
  readonly ageMs: number | undefined;
  readonly flags: number;
  readonly reconnects: number;
  readonly error: string | undefined;
  /** They wait to be sent. */
  readonly eventsPending: number;
  readonly eventsSent: number;
  /** They found the queue full. */
  readonly eventsDropped: number;
  /** The server refused them. */
  readonly eventsRejected: number;
  /** They could not be sent before the end, or were no use to the server. */
  readonly eventsLost: number;
  readonly instance: string;
}

const MOST_INSTANCE_CHARACTERS = 100;
const AFTER_BUG_MS = 5_000;

/**
 * Feature flags for one environment, evaluated in memory. Make one for each process and keep it.
 *
 * The constructor starts and does not wait; `await client.ready()` waits for a configuration. A client keeps no process
 * alive, and sends what waits when the process ends by itself. Call `await client.close()` where a signal ends it.
 */
export class FlagShip extends Evaluation {
  readonly #options: Settled;
  readonly #configuration: Configuration;
  readonly #queue: EventQueue;
  readonly #announcer: Announcer;
  readonly #synchroniser: Synchroniser;
  readonly #sender: Sender;
  readonly #following = new AbortController();
  readonly #sending = new AbortController();
  readonly #instance: string;
  readonly #demand: Demand;
  readonly #loaded: Promise<void>;
  readonly #evaluating: EvaluationParts;
  #work: readonly Promise<void>[] = [];
  #whenSettled: (() => void)[] = [];
  #closing: Promise<void> | undefined;

  /** Throws `TypeError` for a key, an address or an option that cannot work. None of them is ever in the message. */
  constructor(serverKey: string, url: string, options: Options = {}) {
    const own = settled(options);
    const key = checkServerKey(serverKey, own.mode === "offline");
    const voice = new Voice(own.logger);
    const announcer = new Announcer(voice);
    const usage = new Usage();
    const queue = new EventQueue(own, voice);
    const configuration = new Configuration(own.staleAfterMs, {
      changed: (keys, environment) => announcer.changed(keys, environment),
      becameStale: (ageMs) =>
        voice.warn(`no news of the configuration for ${Math.round(ageMs / 1000)} s: answers are marked stale`),
      wentBack: (from, to) => voice.warn(`the server went back from version ${from} to ${to}`),
    });
    let demand: Demand | undefined;
    const begin = () => {
      demand?.begin();
      configuration.checkStaleness();
    };
    const isOnDemand = own.mode === "on_demand";
    const evaluating = { configuration, queue, usage, voice, hooks: own.hooks, begin: isOnDemand ? begin : undefined };
    super(evaluating);
    this.#evaluating = evaluating;
    this.#options = own;
    this.#configuration = configuration;
    this.#queue = queue;
    this.#announcer = announcer;
    this.#instance = instanceOf(own.instance);
    const headers = {
      Authorization: `Bearer ${key}`,
      "User-Agent": `openflagship-${SDK}`,
      "X-FlagShip-Instance": this.#instance,
      "X-FlagShip-SDK": SDK,
    };
    const way = (ending: AbortController) => ({ ca: own.ca, connectMs: own.connectMs, signal: ending.signal });
    this.#synchroniser = new Synchroniser(configuration, url, headers, own, way(this.#following), {
      applied: () => {
        this.#settle();
        pauses.wake();
      },
      connectionIs: (connection) => {
        announcer.connectionIs(connection);
        if (connection === "refused") this.#settle();
      },
      failed: (reason) =>
        voice.warn(`no connection to FlagShip: ${reason}; evaluating version ${configuration.version}`),
    });
    const pauses = new Pauses(this.#sending.signal);
    queue.wake = () => pauses.wake();
    const store = own.store ?? (own.snapshotPath === undefined ? undefined : new FileStore(own.snapshotPath));
    const keeper = new Keeper(store, configuration, fingerprintOf(key), voice);
    this.#sender = new Sender({
      configuration,
      queue,
      summaries: new Summaries(usage, { instance: this.#instance, sdk: SDK }, own.usageMs, own.isSendingEvents, voice),
      keeper,
      events: new Poster(endpointOf(url, own.proxy), headers, way(this.#sending)),
      stream: new Poster(endpointOf(own.streamUrl ?? url, own.proxy), headers, way(this.#sending)),
      options: own,
      pauses,
      voice,
      instance: this.#instance,
      sdk: SDK,
    });
    demand = this.#demand = new Demand(own, async () => {
      // A store may hang.
      await within(own.connectMs, this.#loaded);
      await this.#synchroniser.runOnce();
      usage.settle();
      return this.#synchroniser.error === undefined;
    });
    this.#adoptBootstrap(own.bootstrap);
    this.#loaded = this.#load(store, fingerprintOf(key), keeper, voice);
    if (own.mode === "stream" || own.mode === "poll") this.#start(voice);
    if (own.mode !== "offline") closeAtEnd(this);
  }

  /**
   * Waits for the network, `startWaitMs` unless said otherwise, and says what is served from. Never throws.
   *
   * It waits no longer once the server has refused the key. What a store keeps is read in any case.
   */
  async ready(withinMs: number = this.#options.startWaitMs): Promise<Source> {
    await within(this.#options.connectMs, this.#loaded);
    if (this.#options.mode === "on_demand") await within(withinMs, this.#demand.refresh());
    else if (!this.#isSettled) {
      await within(withinMs, new Promise<void>((resolve) => this.#whenSettled.push(resolve)));
    }
    return this.#configuration.source;
  }

  /**
   * In the mode `on_demand`: asks for the configuration where the present one is older than `pollMs`, and says whether
   * it is current. `isForced` asks in any case. In other modes it only says so.
   */
  async refresh({ isForced = false }: { readonly isForced?: boolean } = {}): Promise<boolean> {
    if (this.#options.mode === "on_demand" && this.#closing === undefined) {
      await within(this.#options.answerMs, this.#demand.refresh(isForced));
      this.#configuration.checkStaleness();
    }
    return this.#synchroniser.error === undefined && this.#configuration.isHad;
  }

  /** Sends the waiting events; true where all were sent within the time. A closed client sends none. */
  async flush(withinMs = 5_000): Promise<boolean> {
    if (this.#closing !== undefined) return false;
    const isRunning = this.#work.length > 0;
    if (isRunning) await within(withinMs, this.#sender.flushed());
    else if (this.#options.mode === "on_demand") await within(withinMs, this.#sender.runFlush(withinMs));
    return this.#sender.pending === 0;
  }

  /** Sends the waiting events for at most `closeWaitMs`, and ends. Evaluation goes on from memory. */
  async close(): Promise<void> {
    this.#closing ??= this.#close();
    await this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** The present state, from memory. */
  status(): Status {
    const { environment, source, ageMs } = this.#configuration;
    const { mode } = this.#options;
    if (mode === "on_demand" || this.#closing !== undefined) this.#configuration.checkStaleness();
    const fixed = mode === "offline" ? mode : mode === "on_demand" && source === "nothing" ? mode : undefined;
    return {
      connection: this.#closing === undefined ? (fixed ?? this.#synchroniser.state) : "closed",
      source,
      configVersion: environment.version,
      isStale: environment.stale,
      ageMs,
      flags: environment.flags.size,
      reconnects: this.#synchroniser.reconnects,
      error: this.#synchroniser.error ?? this.#sender.error,
      eventsPending: this.#sender.pending,
      eventsSent: this.#sender.sent,
      eventsDropped: this.#queue.dropped,
      eventsRejected: this.#sender.rejected,
      eventsLost: this.#sender.lost,
      instance: this.#instance,
    };
  }

  /** Calls the listener after each change, with the keys of changed flags. Call what is returned to end that. */
  onChange(listener: ChangeListener): () => void {
    return this.#announcer.listen(listener);
  }

  /** Calls the listener with each new `status().connection`. Call what is returned to end that. */
  onConnection(listener: (connection: string) => void): () => void {
    return this.#announcer.listenToConnection(listener);
  }

  [inspect.custom](): string {
    const { connection, configVersion, source } = this.status();
    return `FlagShip { connection: '${connection}', configVersion: ${configVersion}, source: '${source}' }`;
  }

  get #isSettled(): boolean {
    const isRefused = this.#synchroniser.state === "refused";
    const isOver = this.#closing !== undefined || this.#options.mode === "offline";
    return this.#configuration.source === "network" || isRefused || isOver;
  }

  #settle(): void {
    if (!this.#isSettled) return;
    for (const resolve of this.#whenSettled.splice(0)) resolve();
  }

  #start(voice: Voice): void {
    this.#configuration.watch();
    const follow = async () => {
      await within(this.#options.connectMs, this.#loaded);
      await this.#synchroniser.run();
    };
    this.#work = [
      lasting(follow, this.#following.signal, voice),
      lasting(() => this.#sender.run(), this.#sending.signal, voice),
    ];
  }

  async #close(): Promise<void> {
    const { closeWaitMs, mode } = this.#options;
    isClosed(this);
    this.#queue.end();
    this.#configuration.unwatch();
    // Nobody watches the clock any more.
    this.#evaluating.begin = () => this.#configuration.checkStaleness();
    this.#following.abort();
    for (const resolve of this.#whenSettled.splice(0)) resolve();
    this.#sender.end(closeWaitMs);
    const [, sending] = this.#work;
    const last = mode === "on_demand" ? this.#sender.run() : sending;
    // A goodbye, and what is kept, have a moment of their own.
    if (last !== undefined) await within(closeWaitMs + 1_000, last);
    this.#sending.abort();
    await within(1_000, Promise.all([...this.#work, last]));
    this.#announcer.end();
  }

  /** Throws `TypeError` for a bootstrap that is no snapshot. */
  #adoptBootstrap(bootstrap: object | string | undefined): void {
    if (bootstrap === undefined) return;
    let environment: Environment;
    try {
      environment =
        typeof bootstrap === "string"
          ? readCopy(readFileSync(bootstrap, "utf8"), undefined, "").environment
          : Environments.fromDocument(structuredClone(bootstrap));
    } catch (error) {
      throw new TypeError(`bootstrap: ${(error as Error).message}`);
    }
    this.#configuration.adopt(environment, "bootstrap", 0, this.#options.mode === "offline");
  }

  /** Serves from what the store keeps, where that is the later. A store may fail; then the client starts without. */
  async #load(store: SnapshotStore | undefined, fingerprint: string, keeper: Keeper, voice: Voice): Promise<void> {
    const take = (kept: Kept | undefined) => {
      if (kept === undefined) return;
      if (!Number.isFinite(kept.ageMs)) throw new TypeError("the store does not say how old its copy is");
      const { environment, proof, confirmedAt } = readCopy(kept.content, this.#options.signingSecret, fingerprint);
      const { isHad, version, source } = this.#configuration;
      if (source === "network" || (isHad && environment.version < version)) return;
      const ageMs = Math.max(kept.ageMs, confirmedAt === undefined ? 0 : Date.now() - confirmedAt);
      this.#configuration.adopt(environment, "store", ageMs, this.#options.mode === "offline", proof);
      keeper.noteStored();
    };
    try {
      const found = store?.load();
      // What is there at once is served from the constructor on.
      take(isThenable(found) ? await found : found);
    } catch (error) {
      voice.warn(`the stored snapshot could not be read: ${(error as Error).message}`);
    }
  }
}

/** The mode in which nothing runs in the background: a call begins a refresh of what is too old. */
class Demand {
  readonly #fetch: () => Promise<boolean>;
  readonly #everyMs: number;
  readonly #backoff: Backoff;
  #notBefore = 0;
  #refreshing: Promise<void> | undefined;

  constructor({ pollMs, firstBackoffMs, mostBackoffMs }: Settled, fetch: () => Promise<boolean>) {
    this.#fetch = fetch;
    this.#everyMs = pollMs;
    this.#backoff = new Backoff(firstBackoffMs, mostBackoffMs);
  }

  /** Begins a refresh where it is due; evaluation does not wait for it. */
  begin(): void {
    if (this.#refreshing === undefined && performance.now() >= this.#notBefore) void this.refresh();
  }

  /** Refreshes where it is due. However many ask at once, the server is asked once. */
  async refresh(isForced = false): Promise<void> {
    if (this.#refreshing === undefined && (isForced || performance.now() >= this.#notBefore)) {
      this.#refreshing = this.#ask();
    }
    await this.#refreshing;
  }

  async #ask(): Promise<void> {
    const isGood = await this.#fetch().catch(() => false);
    if (isGood) this.#backoff.reset();
    this.#notBefore = performance.now() + (isGood ? this.#everyMs : this.#backoff.nextMs());
    this.#refreshing = undefined;
  }
}

/** Runs the work to its end, and again after a bug in it. */
async function lasting(work: () => Promise<void>, signal: AbortSignal, voice: Voice): Promise<void> {
  const pauses = new Pauses(signal);
  for (;;) {
    try {
      await work();
      return;
    } catch (error) {
      if (signal.aborted) return;
      voice.warn(`a bug in openflagship: ${error instanceof Error ? error.stack : String(error)}`);
      await pauses.wait(AFTER_BUG_MS);
    }
  }
}

/** The name of this process, as a header can carry it. */
function instanceOf(given: string | undefined): string {
  const name = given ?? `${hostname()}-${process.pid}-${uuid7().slice(-8)}`;
  return name.slice(0, MOST_INSTANCE_CHARACTERS).replace(/[^ -~]/g, "?");
}
