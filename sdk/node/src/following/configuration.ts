/** The configuration that a client evaluates from: one immutable environment. A change replaces it as a whole. */

import { type Documents, Environment } from "../engine/index.js";
import type { ServerEvent } from "../transport/sse.js";
import {
  changeIn,
  isAboutFlag,
  isKnownKind,
  KILL_SWITCH,
  type Proof,
  parseSnapshot,
  SNAPSHOT,
  versionOfEvent,
} from "./snapshots.js";

/** Where the configuration came from; `nothing` where none was had. */
export type Source = "nothing" | "bootstrap" | "store" | "network";
/** The keys of changed flags; undefined where any may have changed, empty where only staleness did. */
export type ChangedKeys = ReadonlySet<string> | undefined;

/** Told of what the rest of the client acts upon. Neither may throw. */
export interface Observer {
  changed(keys: ChangedKeys, environment: Environment): void;
  becameStale(ageMs: number): void;
  wentBack(from: number, to: number): void;
}

export const EMPTY = Environment.fromDocument({ contract: 1, version: 0 });

/** How a configuration is taken. */
export interface Taken {
  readonly etag?: string | undefined;
  /** For how long its sender has been without news. */
  readonly ageMs?: number;
  readonly proof?: Proof | undefined;
  readonly isFromStream?: boolean;
}

export class Configuration {
  environment = EMPTY;
  source: Source = "nothing";
  etag: string | undefined;
  /** The present configuration as it was signed, where a signature was checked. */
  proof: Proof | undefined;
  readonly #observer: Observer;
  readonly #staleAfterMs: number;
  #confirmedAt: number | undefined;
  #isLasting = false;
  // The newest version that was told of and not proved, and since when every fetched snapshot was an older one.
  #heard = 0;
  #olderSince: number | undefined;
  // Kills that came before the steps that precede them, by flag.
  #ahead = new Set<string>();
  #watch: NodeJS.Timeout | undefined;

  constructor(staleAfterMs: number, observer: Observer) {
    this.#staleAfterMs = staleAfterMs;
    this.#observer = observer;
  }

  get version(): number {
    return this.environment.version;
  }

  get isHad(): boolean {
    return this.source !== "nothing";
  }

  /**
   * Since when the configuration was last known to be current, in milliseconds; undefined where it never was.
   *
   * It counts from the server on: what an edge says of its own silence is included.
   */
  get ageMs(): number | undefined {
    return this.#confirmedAt === undefined ? undefined : performance.now() - this.#confirmedAt;
  }

  /** Uses a configuration that did not come from the server. One that `isLasting` never goes stale. */
  adopt(environment: Environment, source: Source, ageMs: number, isLasting: boolean, proof?: Proof): void {
    this.#isLasting = isLasting;
    this.#confirmedAt = performance.now() - ageMs;
    this.proof = proof;
    this.#swap(environment, source, undefined);
    this.checkStaleness();
  }

  /**
   * Uses the server's snapshot.
   *
   * A fetched snapshot that is older than the present one came from a process that lags behind; it is ignored, unless
   * all are older for as long as answers may go without news: then the server itself went back to a backup. The stream
   * sends an older one only there.
   */
  replace(environment: Environment, { etag, ageMs = 0, proof, isFromStream = false }: Taken = {}): void {
    if (isFromStream) {
      this.#heard = 0;
      this.#olderSince = undefined;
    } else if (this.#isLagging(environment.version, ageMs) && environment.version < this.version) {
      return;
    }
    this.etag = etag;
    this.proof = proof;
    this.#ahead.clear();
    this.#swap(environment.withStaleness(this.#isPastLimit), "network", undefined);
  }

  /** Notes that a sender holds the configuration for current; it has been without news for `ageMs`. */
  confirm(ageMs = 0): void {
    if (this.#heard > this.version) return;
    // Where signatures are asked for, a fetched snapshot says it, and nothing else.
    if (this.proof === undefined) this.#olderSince = undefined;
    this.#confirm(ageMs);
  }

  /** Notes that the snapshot which was asked for is the present one. */
  confirmFetched(ageMs: number): void {
    this.#isLagging(this.version, ageMs);
  }

  /** Notes that there is this version, as somebody says; until it is had, no older one is taken for current. */
  hear(version: number): void {
    this.#heard = Math.max(this.#heard, version);
  }

  get isBehind(): boolean {
    return this.#heard > this.version || this.#olderSince !== undefined;
  }

  /** Applies a stream's events; true where any applied. Throws `SnapshotError`, `ResyncNeededError`. */
  apply(events: readonly ServerEvent[]): boolean {
    let isChanged = false;
    for (const run of runsOf(events)) {
      const [first] = run;
      if (first?.kind === SNAPSHOT) {
        this.replace(parseSnapshot(first.data, this.environment), { isFromStream: true });
        isChanged = true;
      } else {
        isChanged = this.#applyChanges(run) || isChanged;
      }
    }
    return isChanged;
  }

  /** Marks the answers stale when it is time. */
  checkStaleness(): void {
    if (this.#isPastLimit) this.#mark(true);
  }

  /** Marks answers stale by the clock from now on, until `unwatch`. */
  watch(): void {
    this.checkStaleness();
    clearTimeout(this.#watch);
    const age = this.ageMs;
    const isCounting = age !== undefined && !this.#isLasting && !this.environment.stale;
    const left = isCounting ? Math.max(0, this.#staleAfterMs - age) + 10 : this.#staleAfterMs;
    this.#watch = setTimeout(() => this.watch(), Math.min(left, MOST_WATCH_MS)).unref();
  }

  unwatch(): void {
    clearTimeout(this.#watch);
    this.#watch = undefined;
  }

  #applyChanges(run: readonly ServerEvent[]): boolean {
    const flags: Record<string, unknown> = {};
    const segments: Record<string, unknown> = {};
    const ahead = new Set(this.#ahead);
    let version = this.version;
    let isApplied = false;
    for (const event of run) {
      const isKnown = isKnownKind(event.kind);
      const at = versionOfEvent(event);
      if (at === undefined ? !isKnown : at <= version) continue;
      if (isKnown) {
        const { key, document } = changeIn(event);
        if (!isAboutFlag(event.kind)) define(segments, key, document);
        else if (isInTurn(ahead, event.kind, key, at === undefined)) define(flags, key, document);
      }
      // What a later release tells in a kind of its own is passed over; its place is noted.
      version = at ?? version;
      isApplied = true;
    }
    if (!isApplied) return false;
    this.#takeChange(version, flags, segments, ahead);
    return true;
  }

  #takeChange(version: number, flags: Documents, segments: Documents, ahead: Set<string>): void {
    const hasSegments = Object.keys(segments).length > 0;
    const keys = hasSegments ? undefined : new Set(Object.keys(flags));
    this.environment = this.environment.replace(version, flags, segments);
    this.#ahead = ahead;
    this.#olderSince = undefined;
    this.etag = this.proof = undefined;
    if (keys === undefined || keys.size > 0) this.#observer.changed(keys, this.environment);
  }

  /** Whether the sender of a fetched version lags behind. The one that does not confirms the configuration. */
  #isLagging(version: number, ageMs: number): boolean {
    const newest = Math.max(this.version, this.#heard);
    if (this.source === "network" && version < newest) {
      const now = performance.now();
      this.#olderSince ??= now;
      if (now - this.#olderSince < this.#staleAfterMs) return true;
      this.#observer.wentBack(newest, version);
      this.#heard = 0;
    }
    this.#olderSince = undefined;
    this.#confirm(ageMs);
    return false;
  }

  #confirm(ageMs: number): void {
    this.#confirmedAt = performance.now() - ageMs;
    this.#isLasting = false;
    this.#mark(this.#isPastLimit);
    // It may be stale sooner than the watch, which sleeps, knows.
    if (ageMs > 0 && this.#watch !== undefined) this.watch();
  }

  get #isPastLimit(): boolean {
    const age = this.ageMs;
    return age !== undefined && !this.#isLasting && age >= this.#staleAfterMs;
  }

  #mark(isStale: boolean): void {
    if (this.environment.stale === isStale) return;
    this.#swap(this.environment.withStaleness(isStale), this.source, new Set());
    if (isStale) this.#observer.becameStale(this.ageMs ?? 0);
  }

  #swap(environment: Environment, source: Source, keys: ChangedKeys): void {
    this.environment = environment;
    this.source = source;
    this.#observer.changed(keys, environment);
  }
}

// What a timer can wait is less than some limits.
const MOST_WATCH_MS = 86_400_000;

/** The events in their order, each snapshot by itself. */
function* runsOf(events: readonly ServerEvent[]): Generator<readonly ServerEvent[]> {
  let run: ServerEvent[] = [];
  for (const event of events) {
    if (event.kind !== SNAPSHOT) {
      run.push(event);
      continue;
    }
    if (run.length > 0) yield run;
    run = [];
    yield [event];
  }
  if (run.length > 0) yield run;
}

/** Whether a flag's document applies. A kill ahead of its turn is not undone by the steps before it. */
function isInTurn(ahead: Set<string>, kind: string, key: string, isAhead: boolean): boolean {
  if (isAhead) {
    ahead.add(key);
    return true;
  }
  if (ahead.has(key)) {
    if (kind !== KILL_SWITCH) return false;
    ahead.delete(key);
  }
  return true;
}

/** Sets a member of any name: `__proto__` is a key like others. */
function define(documents: Record<string, unknown>, key: string, document: unknown): void {
  Object.defineProperty(documents, key, { value: document, enumerable: true, configurable: true, writable: true });
}
