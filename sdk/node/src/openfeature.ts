/** `openflagship/openfeature`: FlagShip as a provider of OpenFeature's server SDK, `@openfeature/server-sdk`. */

import {
  ErrorCode,
  type EvaluationContext,
  type JsonValue,
  OpenFeatureEventEmitter,
  type Provider,
  ProviderEvents,
  ProviderFatalError,
  ProviderNotReadyError,
  type ResolutionDetails,
  type TrackingEventDetails,
} from "@openfeature/server-sdk";
import type { UserContext } from "./client/contexts.js";
import type { FlagShip } from "./client/flagship.js";
import type { ErrorCode as OwnErrorCode, Outcome } from "./engine/index.js";
import type { FlagType } from "./engine/model.js";
import type { ChangedKeys } from "./following/configuration.js";

const CODES: Record<OwnErrorCode, ErrorCode> = {
  FLAG_NOT_FOUND: ErrorCode.FLAG_NOT_FOUND,
  PARSE_ERROR: ErrorCode.PARSE_ERROR,
  TYPE_MISMATCH: ErrorCode.TYPE_MISMATCH,
  GENERAL: ErrorCode.GENERAL,
};
const REFUSED = "refused";
const WORKING: ReadonlySet<string> = new Set(["streaming", "polling"]);

/**
 * Answers from a client's memory: `await OpenFeature.setProviderAndWait(new FlagShipProvider(client))`.
 *
 * Each domain with its own environment needs its own provider. It closes the client when it is shut down.
 */
export class FlagShipProvider implements Provider {
  readonly metadata = { name: "FlagShip" };
  readonly runsOn = "server";
  readonly events = new OpenFeatureEventEmitter();
  readonly #client: FlagShip;
  #endings: readonly (() => void)[] = [];
  // Whether OpenFeature knows that there is a configuration; and that the key is refused.
  #isAnnounced = false;
  #isRefused = false;

  constructor(client: FlagShip) {
    this.#client = client;
  }

  /** Waits for a first configuration. Throws where there is none, fatally for a refused key. */
  async initialize(): Promise<void> {
    const source = await this.#client.ready();
    const { connection, error } = this.#client.status();
    this.#isAnnounced = source !== "nothing";
    this.#isRefused = connection === REFUSED && !this.#isAnnounced;
    this.#endings = [
      this.#client.onChange((keys) => this.#changed(keys)),
      this.#client.onConnection((state) => this.#connected(state)),
    ];
    if (this.#isAnnounced || connection === "offline") return;
    if (this.#isRefused) throw new ProviderFatalError(`FlagShip refuses the key: ${error}`);
    throw new ProviderNotReadyError(`No configuration was had yet: ${error ?? connection}`);
  }

  async onClose(): Promise<void> {
    for (const end of this.#endings) end();
    this.#endings = [];
    await this.#client.close();
  }

  async resolveBooleanEvaluation(key: string, otherwise: boolean, context: EvaluationContext) {
    return this.#resolved("boolean", key, otherwise, context);
  }

  async resolveStringEvaluation(key: string, otherwise: string, context: EvaluationContext) {
    return this.#resolved("string", key, otherwise, context);
  }

  async resolveNumberEvaluation(key: string, otherwise: number, context: EvaluationContext) {
    return this.#resolved("number", key, otherwise, context);
  }

  async resolveObjectEvaluation<Value extends JsonValue>(key: string, otherwise: Value, context: EvaluationContext) {
    return this.#resolved("json", key, otherwise, context);
  }

  /** Records a conversion of the context's targeting key. The other members of its details become properties. */
  track(eventName: string, context: EvaluationContext, { value, ...properties }: TrackingEventDetails = {}): void {
    this.#client.track(eventName, userOf(context), { value, properties });
  }

  #resolved<Value>(
    type: FlagType,
    key: string,
    otherwise: Value,
    context: EvaluationContext,
  ): ResolutionDetails<Value> {
    const outcome = this.#client.getOutcome(type, key, otherwise, userOf(context));
    const { answer, openFeatureReason: reason } = outcome;
    const flagMetadata = this.#metadataOf(key, outcome);
    if (answer.errorCode === undefined) {
      return { value: answer.value as Value, variant: answer.variant as string, reason, flagMetadata };
    }
    const errorCode = answer.detail === "not_ready" ? ErrorCode.PROVIDER_NOT_READY : CODES[answer.errorCode];
    const errorMessage = answer.detail ?? `flag ${key} not found in this environment`;
    return { value: otherwise, reason, errorCode, errorMessage, flagMetadata };
  }

  #metadataOf(key: string, { answer }: Outcome): Record<string, string | number | boolean> {
    const { configVersion, ruleId, experiment } = answer;
    return {
      ...this.#client.environment.flags.get(key)?.definition?.metadata,
      configVersion,
      ...(ruleId === undefined ? {} : { ruleId }),
      ...(experiment === undefined ? {} : { experiment }),
    };
  }

  #changed(keys: ChangedKeys): void {
    const { flags } = this.#client.environment;
    if (!this.#isAnnounced) {
      this.#isAnnounced = true;
      this.#isRefused = false;
      this.events.emit(ProviderEvents.Ready, { message: "A first configuration was had." });
    } else if (keys === undefined || keys.size > 0) {
      this.events.emit(ProviderEvents.ConfigurationChanged, { flagsChanged: [...(keys ?? flags.keys())].sort() });
    } else if (!this.#isRefused) {
      // Whether it is stale besides is told once the key works again.
      this.#tellCurrency("The configuration is current again.");
    }
  }

  /** A key that is refused is fatal, until it works again. */
  #connected(state: string): void {
    const wasRefused = this.#isRefused;
    if (state === REFUSED) this.#isRefused = true;
    else if (WORKING.has(state)) this.#isRefused = false;
    if (this.#isRefused === wasRefused) return;
    if (this.#isRefused) {
      const message = `FlagShip refuses the key: ${this.#client.status().error}`;
      this.events.emit(ProviderEvents.Error, { message, errorCode: ErrorCode.PROVIDER_FATAL });
    } else {
      this.#tellCurrency("The key works again.");
    }
  }

  #tellCurrency(message: string): void {
    if (this.#client.environment.stale) {
      this.events.emit(ProviderEvents.Stale, { message: "The configuration could not be refreshed." });
    } else {
      this.events.emit(ProviderEvents.Ready, { message });
    }
  }
}

/** The targeting key is the user id, where there is one. */
function userOf(context: EvaluationContext): UserContext {
  const { targetingKey } = context;
  return targetingKey === undefined || targetingKey === "" ? context : { ...context, userId: targetingKey };
}
