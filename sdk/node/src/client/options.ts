/** All settings of a client, checked once. */

import { readFileSync } from "node:fs";
import type { SnapshotStore } from "../keeping/stores.js";
import type { Hook } from "./hooks.js";
import { consoleLogger, type Logger } from "./logger.js";

/**
 * `stream`: changes arrive within a second. `poll`: the snapshot is asked for now and then. `on_demand`: nothing runs in
 * the background; `await client.refresh()` at the start of a request refreshes what is older than `pollMs`. `offline`:
 * nobody is asked.
 */
export type Mode = "stream" | "poll" | "on_demand" | "offline";

/** An event as it is sent: an exposure, a conversion or a metric's value. */
export type EventBody = Record<string, unknown>;

/** Times are in milliseconds. */
export interface Options {
  readonly mode?: Mode;
  /** The stream's address, where it is not the one that the API names. */
  readonly streamUrl?: string;
  /** A snapshot, or the path of one, to serve from until the network has answered. */
  readonly bootstrap?: object | string;
  /** The path of a file where the last good snapshot is kept. */
  readonly snapshotPath?: string;
  /** A place for it in place of a file, such as a `RedisStore`. */
  readonly store?: SnapshotStore;
  /** Accept signed snapshots only. */
  readonly signingSecret?: string;
  /** User ids leave the process as HMAC-SHA256 under this key. */
  readonly hashKey?: string;
  /** Sees each event before it is sent, and may change it, or drop it by returning null. */
  readonly beforeSend?: (event: EventBody) => EventBody | null;
  readonly isSendingEvents?: boolean;
  /** Called around every evaluation. */
  readonly hooks?: readonly Hook[];
  /** Where warnings go; the console unless said otherwise, null for nowhere. */
  readonly logger?: Logger | null;
  /** The name of this process in the list of connected services; host and process id unless said otherwise. */
  readonly instance?: string;
  /** A file of authorities in PEM, in place of Node's own. */
  readonly caFile?: string;
  /** An HTTP proxy's address, empty for none; without it HTTPS_PROXY, HTTP_PROXY and NO_PROXY count. */
  readonly proxy?: string;
  /** How long `ready` waits unless it is told. */
  readonly startWaitMs?: number;
  readonly pollMs?: number;
  /** Without a stream, until the first poll. */
  readonly pollAfterMs?: number;
  /** Without news of the configuration, until answers are marked stale. */
  readonly staleAfterMs?: number;
  /** For a connection, and for the head of an answer. */
  readonly connectMs?: number;
  /** For a whole answer. */
  readonly answerMs?: number;
  /** Without a sign of life on the stream. */
  readonly silenceMs?: number;
  /** The ceiling of the first pause after a failure; each failure doubles it. */
  readonly firstBackoffMs?: number;
  readonly mostBackoffMs?: number;
  /** The longest pause after 401, 403 and 404. */
  readonly mostRefusedMs?: number;
  /** A stream that lasted as long lets pauses start anew. */
  readonly healthyMs?: number;
  readonly flushMs?: number;
  /** So many waiting events are sent at once. */
  readonly flushCount?: number;
  /** So many events wait at most; more are dropped and counted. */
  readonly mostEvents?: number;
  /** Between summaries of what was evaluated. */
  readonly usageMs?: number;
  /** What `close` waits at most. */
  readonly closeWaitMs?: number;
}

const DEFAULTS = {
  mode: "stream" as Mode,
  isSendingEvents: true,
  hooks: [] as readonly Hook[],
  logger: consoleLogger as Logger | null,
  startWaitMs: 5_000,
  pollMs: 60_000,
  pollAfterMs: 30_000,
  staleAfterMs: 120_000,
  connectMs: 10_000,
  answerMs: 60_000,
  silenceMs: 35_000,
  firstBackoffMs: 1_000,
  mostBackoffMs: 30_000,
  mostRefusedMs: 300_000,
  healthyMs: 60_000,
  flushMs: 10_000,
  flushCount: 100,
  mostEvents: 10_000,
  usageMs: 60_000,
  closeWaitMs: 5_000,
};

// Those without a default, each by name, so that the compiler misses one that is left out.
const OTHERS: Record<Exclude<keyof Options, keyof typeof DEFAULTS>, true> = {
  streamUrl: true,
  bootstrap: true,
  snapshotPath: true,
  store: true,
  signingSecret: true,
  hashKey: true,
  beforeSend: true,
  instance: true,
  caFile: true,
  proxy: true,
};
const NAMES: ReadonlySet<string> = new Set([...Object.keys(DEFAULTS), ...Object.keys(OTHERS)]);
const MODES: readonly Mode[] = ["stream", "poll", "on_demand", "offline"];
// A pause of no length would ask without end.
const POSITIVE = [
  "pollMs",
  "staleAfterMs",
  "connectMs",
  "answerMs",
  "silenceMs",
  "firstBackoffMs",
  "mostRefusedMs",
  "flushMs",
  "usageMs",
] as const;
const FROM_ZERO = ["startWaitMs", "pollAfterMs", "healthyMs", "closeWaitMs"] as const;
const COUNTS = ["flushCount", "mostEvents"] as const;
// What a timer can wait; more would end at once.
const MOST_MS = 2 ** 30;
const SECRETS = ["signingSecret", "hashKey"] as const;

export type Settled = typeof DEFAULTS & Omit<Options, keyof typeof DEFAULTS> & { readonly ca: string | undefined };

/** The options with their defaults. Throws `TypeError` for what cannot work; nothing later on does. */
export function settled(options: Options): Settled {
  const unknown = Object.keys(options).find((name) => !NAMES.has(name));
  if (unknown !== undefined) {
    throw new TypeError(`${unknown}: There is no such option. Give one of ${[...NAMES].sort().join(", ")}.`);
  }
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  const found = { ...DEFAULTS, ...given } as Omit<Settled, "ca">;
  if (!MODES.includes(found.mode)) throw new TypeError(`mode: Give one of ${MODES.join(", ")}.`);
  checkTypes(given);
  for (const name of POSITIVE) if (!(found[name] > 0)) throw new TypeError(`${name}: Give more than 0.`);
  for (const name of FROM_ZERO) if (!(found[name] >= 0)) throw new TypeError(`${name}: Give 0 or more.`);
  for (const name of COUNTS) if (!(found[name] >= 1)) throw new TypeError(`${name}: Give 1 or more.`);
  for (const name of SECRETS) {
    const given: unknown = found[name];
    if (given !== undefined && (typeof given !== "string" || given.trim() === "")) {
      throw new TypeError(`${name}: It is empty; give a secret, or leave it out.`);
    }
  }
  if (found.mostBackoffMs < found.firstBackoffMs) {
    throw new TypeError("mostBackoffMs: Give at least firstBackoffMs.");
  }
  // Answers may go unrefreshed for longer than a timer waits.
  for (const name of [...POSITIVE, ...FROM_ZERO, "mostBackoffMs"] as const) {
    if (name !== "staleAfterMs") found[name] = Math.min(found[name], MOST_MS);
  }
  return { ...found, ca: found.caFile === undefined ? undefined : readAuthorities(found.caFile) };
}

/** Refuses values of other types, such as a variable's "false", which would count as true. */
function checkTypes(given: { readonly [name: string]: unknown }): void {
  for (const [name, value] of Object.entries(given)) {
    const [type, isOne] = TYPES[name] ?? NUMBER;
    if (!isOne(value)) throw new TypeError(`${name}: Give ${type}.`);
  }
}

const isText = (value: unknown) => typeof value === "string";
const hasMethods = (value: unknown, ...names: readonly string[]) =>
  typeof value === "object" &&
  value !== null &&
  names.every((name) => typeof (value as Record<string, unknown>)[name] === "function");
const TEXT = ["text", isText] as const;
const NUMBER = ["a number", (value: unknown) => typeof value === "number"] as const;

// Of all that are no numbers. What is wrong with `mode` and the secrets is said where they are read.
const TYPES: { readonly [name: string]: readonly [string, (value: unknown) => boolean] } = {
  mode: TEXT,
  streamUrl: TEXT,
  bootstrap: ["a snapshot, or a path", (value) => (typeof value === "object" && value !== null) || isText(value)],
  snapshotPath: ["a file's path", (value) => isText(value) && value !== ""],
  store: ["an object with load and save", (value) => hasMethods(value, "load", "save")],
  signingSecret: ["a secret", () => true],
  hashKey: ["a secret", () => true],
  beforeSend: ["a function", (value) => typeof value === "function"],
  isSendingEvents: ["true or false", (value) => typeof value === "boolean"],
  hooks: ["a list of hooks", (value) => Array.isArray(value) && value.every((hook) => hasMethods(hook))],
  logger: ["an object with warn, or null", (value) => value === null || hasMethods(value, "warn")],
  instance: TEXT,
  caFile: TEXT,
  proxy: TEXT,
};

function readAuthorities(path: string): string {
  let text = "";
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new TypeError(`caFile: It cannot be read: ${(error as Error).message}`);
  }
  if (!text.includes("-----BEGIN CERTIFICATE-----")) throw new TypeError(`caFile: ${path} holds no certificates.`);
  return text;
}
