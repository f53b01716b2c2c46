/** The queue of exposures, conversions and metric values: bounded, without repeats, encoded at the call. */

import { createHmac } from "node:crypto";
import type { EventBody, Settled } from "../client/options.js";
import { isThenable, type Voice } from "../client/logger.js";
import type { Answer, Shown } from "../engine/answer.js";
import { isObject, taken, UntakenError } from "../engine/values.js";
import { uuid7 } from "./ids.js";

/** What the routes of events are called. */
export type EventKind = "exposure" | "conversion" | "metrics";
export const KINDS: readonly EventKind[] = ["exposure", "conversion", "metrics"];

/** What a conversion or a metric's value may have besides its name and user. */
export interface TrackDetails {
  readonly value?: number | undefined;
  /** Members of JSON; a `Date` becomes its ISO 8601 text. They are written down at the call. */
  readonly properties?: { readonly [name: string]: unknown } | undefined;
}

interface Waiting {
  readonly unit: string;
  readonly unixMs: number;
  /** The members besides unit and instant. */
  readonly rest: string | ExposureOf;
}

interface ExposureOf {
  readonly flagKey: string;
  readonly answer: Answer;
}

const MOST_NAME_CHARACTERS = 200;
const MOST_UNIT_CHARACTERS = 1024;
// Of waiting events. An exposure counts as much as it takes besides its unit.
const MOST_CHARACTERS = 16_000_000;
const EXPOSURE_CHARACTERS = 300;
const SOURCE = "sdk-node";

export class EventQueue {
  /** How many events found no room. */
  dropped = 0;
  /** Wakes the sender; called when a batch is full. */
  wake: () => void = () => undefined;
  readonly #options: Settled;
  readonly #voice: Voice;
  readonly #waiting: Record<EventKind, Waiting[]> = { exposure: [], conversion: [], metrics: [] };
  #isOn: boolean;
  #isClosed = false;
  #isWoken = false;
  #characters = 0;
  #window = 1;
  #marks = 0;

  constructor(options: Settled, voice: Voice) {
    this.#options = options;
    this.#voice = voice;
    this.#isOn = options.isSendingEvents && options.mode !== "offline";
  }

  get size(): number {
    return KINDS.reduce((size, kind) => size + this.#waiting[kind].length, 0);
  }

  count(kind: EventKind): number {
    return this.#waiting[kind].length;
  }

  /** Takes no more events: nobody sends them any longer. */
  end(): void {
    this.#isOn = false;
    this.#isClosed = true;
  }

  /** Queues an exposure, unless the unit has seen the variant within the window. */
  expose(flagKey: string, unit: string, answer: Answer, shown: Shown): void {
    if (!this.#isOn) {
      if (this.#isClosed) this.#refuse();
      return;
    }
    if (shown.window !== this.#window) {
      shown.window = this.#window;
      shown.units.clear();
    } else if (shown.units.has(unit)) {
      return;
    }
    // One that is dropped is not remembered as sent.
    const rest = { flagKey, answer };
    if (!this.#put("exposure", { unit, unixMs: Date.now(), rest }, EXPOSURE_CHARACTERS)) return;
    shown.units.add(unit);
    this.#marks += 1;
  }

  /** Queues a conversion, or a metric's value, as it is now. Throws `TypeError` for what the server would refuse. */
  track(kind: "conversion" | "metrics", name: string, unit: string | undefined, details: TrackDetails): void {
    const { value, properties } = details;
    if (typeof name !== "string" || name === "" || name.length > MOST_NAME_CHARACTERS) {
      throw new TypeError(`an event's name has 1 to ${MOST_NAME_CHARACTERS} characters`);
    }
    if (!unit || unit.length > MOST_UNIT_CHARACTERS) {
      throw new TypeError(`a user id has 1 to ${MOST_UNIT_CHARACTERS} characters`);
    }
    if (value !== undefined && value !== null && !Number.isFinite(value)) {
      throw new TypeError("an event's value is a finite number");
    }
    if (unit.includes("\0")) throw new TypeError("a user id holds no U+0000");
    const named = kind === "metrics" ? { metricKey: name } : { eventName: name };
    const rest = written({
      ...named,
      ...(value === undefined || value === null ? {} : { value }),
      ...(properties === undefined || Object.keys(properties).length === 0 ? {} : { properties }),
    });
    this.#put(kind, { unit, unixMs: Date.now(), rest }, rest.length);
  }

  /** Starts a new window: an exposure that was seen before counts as new again. */
  beginWindow(): void {
    this.#window += 1;
    this.#marks = 0;
  }

  /** The first `most` events in the API's form, each as JSON, after `beforeSend` and hashing. */
  take(kind: EventKind, most: number): string[] {
    this.#isWoken = false;
    // Within one window as many units may pass as there are; memory is worth more than a repeat.
    if (this.#marks > this.#options.mostEvents) this.beginWindow();
    const found = this.#waiting[kind].splice(0, most);
    for (const { unit, rest } of found) this.#characters -= sizeOf(unit, rest);
    return found.map((one) => this.#body(one)).filter((text) => text !== undefined);
  }

  #put(kind: EventKind, event: Waiting, size: number): boolean {
    if (!this.#isOn) {
      if (this.#isClosed) this.#refuse();
      return false;
    }
    const waiting = this.#waiting[kind];
    const characters = this.#characters + size + event.unit.length;
    if (waiting.length >= this.#options.mostEvents || characters > MOST_CHARACTERS) {
      this.dropped += 1;
      return false;
    }
    waiting.push(event);
    this.#characters = characters;
    if (!this.#isWoken && this.size >= this.#options.flushCount) {
      this.#isWoken = true;
      this.wake();
    }
    return true;
  }

  #refuse(): void {
    this.#voice.warnOnce("closed", "the client is closed: exposures and events are no longer recorded");
  }

  #body({ unit, unixMs, rest }: Waiting): string | undefined {
    const timestamp = new Date(unixMs).toISOString();
    const userId = this.#unit(unit);
    const body: EventBody =
      typeof rest === "string"
        ? { id: uuid7(unixMs), userId, timestamp, ...JSON.parse(rest) }
        : { evaluationId: uuid7(unixMs), userId, timestamp, ...exposureMembers(rest) };
    const { beforeSend } = this.#options;
    if (beforeSend === undefined) return JSON.stringify(body);
    try {
      const said: unknown = beforeSend(body);
      if (said === null || said === undefined) return undefined;
      this.#voice.heed(said, "beforeSend failed");
      if (!isObject(said) || isThenable(said)) throw new TypeError("it gave no event");
      return written(said);
    } catch (error) {
      // It may hold secrets, which the hook was to take out.
      this.#voice.warn(`beforeSend failed, and the event is not sent: ${String(error)}`);
      return undefined;
    }
  }

  #unit(unit: string): string {
    const { hashKey } = this.#options;
    return hashKey === undefined ? unit : createHmac("sha256", hashKey).update(unit).digest("hex");
  }
}

function sizeOf(unit: string, rest: Waiting["rest"]): number {
  return unit.length + (typeof rest === "string" ? rest.length : EXPOSURE_CHARACTERS);
}

function exposureMembers({ flagKey, answer }: ExposureOf): EventBody {
  const { variant, reason, configVersion, ruleId, experiment } = answer;
  return { flagKey, variant, source: SOURCE, reason, configVersion, ruleId, experiment };
}

/** JSON of the members. Throws `TypeError` for what JSON cannot say, which `JSON.stringify` would leave out. */
function written(members: EventBody): string {
  return JSON.stringify(members, (name, value: unknown) => {
    if (!isReadable(name) || !isReadable(value)) {
      throw new TypeError("it holds U+0000 or half of a surrogate pair, which no server takes");
    }
    if (value instanceof Map) throw new UntakenError(`${name} is a Map`);
    if (typeof value === "number" && !Number.isFinite(value)) throw new TypeError(`${name} is no finite number`);
    if (value instanceof Set || typeof value === "bigint") return taken(value);
    if (typeof value === "function" || typeof value === "symbol")
      throw new UntakenError(`${name} is a ${typeof value}`);
    return value;
  });
}

function isReadable(value: unknown): boolean {
  return typeof value !== "string" || (value.isWellFormed() && !value.includes("\0"));
}
