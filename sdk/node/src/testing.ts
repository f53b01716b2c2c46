/**
 * `openflagship/testing`: for the tests of services, in any test framework.
 *
 * `offline({ limit: 10 }, { alice: { limit: 100 } })` asks nobody. `override` fixes an answer until it is ended,
 * `record` notes exposures and events, `ready` waits for a real client.
 */

import type { Evaluation, Override } from "./client/evaluation.js";
import { RIGGING } from "./client/evaluation.js";
import { FlagShip } from "./client/flagship.js";
import { type Answer, Outcome } from "./engine/index.js";

/** A flag's answer that a user was shown. */
export interface RecordedExposure {
  readonly flagKey: string;
  readonly userId: string | undefined;
  readonly variant: string | null;
  readonly value: unknown;
}

/** A conversion or a metric's value, as it was at the call. */
export interface RecordedEvent {
  readonly name: string;
  readonly userId: string | undefined;
  readonly value: number | undefined;
  readonly properties: Readonly<Record<string, unknown>>;
}

/** What happened until it was ended, in its order. A repeated exposure stands once. */
export interface Recorder extends Ending {
  readonly exposures: readonly RecordedExposure[];
  readonly events: readonly RecordedEvent[];
}

/** Call it, or declare it with `using`, to end what it began. */
export interface Ending extends Disposable {
  end(): void;
}

/** A variant or a value, for everybody or for one user. */
export type Fixed = ({ readonly variant: string } | { readonly value: unknown }) & { readonly userId?: string };

/** A client without a server. `flags` has everybody's values by key, `users` those of user ids of their own. */
export function offline(
  flags: Readonly<Record<string, unknown>> = {},
  users: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {},
): FlagShip {
  const client = new FlagShip("", "http://offline.invalid", { mode: "offline", logger: null });
  for (const [key, value] of Object.entries(flags)) override(client, key, { value });
  for (const [userId, own] of Object.entries(users)) {
    for (const [key, value] of Object.entries(own)) override(client, key, { value, userId });
  }
  return client;
}

/**
 * Until it is ended, every user, or only one, gets this variant of the flag, or this value. It sends no exposure.
 *
 * Throws `RangeError` for a variant that a known flag does not have. The last one that was begun counts.
 */
export function override(client: Evaluation, flagKey: string, fixed: Fixed): Ending {
  const variant = "variant" in fixed ? fixed.variant : null;
  const value = "variant" in fixed ? variantValue(client, flagKey, fixed.variant) : fixed.value;
  const { overrides } = client[RIGGING]();
  const own: Override = (context, environment) => {
    if (fixed.userId !== undefined && context.userId !== fixed.userId) return undefined;
    const answer: Answer = Object.freeze({
      value,
      variant,
      reason: "TARGET_MATCH",
      ruleId: undefined,
      experiment: undefined,
      errorCode: undefined,
      detail: "override",
      configVersion: environment.version,
      stale: false,
    });
    return new Outcome(answer, "TARGETING_MATCH");
  };
  overrides.set(flagKey, [...(overrides.get(flagKey) ?? []), own]);
  return ending(() => {
    const left = (overrides.get(flagKey) ?? []).filter((other) => other !== own);
    if (left.length > 0) overrides.set(flagKey, left);
    else overrides.delete(flagKey);
  });
}

/** Until it is ended, notes every answer that was given and every event that was taken. */
export function record(client: Evaluation): Recorder {
  const exposures = new Map<string, RecordedExposure>();
  const events: RecordedEvent[] = [];
  const { taps } = client[RIGGING]();
  const end = client.addHook({
    after({ flagKey, userId }, { answer: { variant, value } }) {
      const shown = { flagKey, userId, variant, value };
      exposures.set(JSON.stringify(shown), shown);
    },
  });
  const tap: Parameters<typeof taps.add>[0] = (name, userId, { value, properties = {} }) => {
    events.push({ name, userId, value, properties: structuredClone(properties) });
  };
  taps.add(tap);
  return {
    get exposures() {
      return [...exposures.values()];
    },
    events,
    ...ending(() => {
      end();
      taps.delete(tap);
    }),
  };
}

/** Waits until the client has a configuration. Throws where it has none within that time, and says why. */
export async function ready(client: FlagShip, withinMs = 10_000): Promise<void> {
  if ((await client.ready(withinMs)) !== "nothing") return;
  const { error, connection } = client.status();
  if (connection !== "offline") throw new Error(`No configuration within ${withinMs} ms: ${error ?? connection}.`);
}

function ending(end: () => void): Ending {
  return { end, [Symbol.dispose]: end };
}

function variantValue(client: Evaluation, flagKey: string, variant: string): unknown {
  const variants = client.environment.flags.get(flagKey)?.definition?.variants;
  if (variants?.has(variant)) return variants.get(variant);
  if (variants !== undefined) throw new RangeError(`${flagKey} has no variant '${variant}'.`);
  // A flag that is not made yet: by its usual variants.
  return USUAL.get(variant) ?? variant;
}

const USUAL: ReadonlyMap<string, boolean> = new Map([
  ["control", false],
  ["off", false],
  ["treatment", true],
  ["on", true],
]);
