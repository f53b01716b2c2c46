/** Keeps the last good snapshot in a store, in the background. */

import type { Voice } from "../client/logger.js";
import type { Configuration } from "../following/configuration.js";
import { writeCopy } from "./copies.js";
import type { SnapshotStore } from "./stores.js";

const EVERY_MS = 5_000;
// The same version is kept again with a later time, so that the next start knows how old it is.
const CONFIRM_EVERY_MS = 60_000;
const CONFIRM_LAST_MS = 1_000;
// For how long the sender waits for a store.
const WAIT_MS = 500;

export class Keeper {
  readonly #store: SnapshotStore | undefined;
  readonly #configuration: Configuration;
  readonly #fingerprint: string;
  readonly #voice: Voice;
  #savedVersion = -1;
  #savedAt = 0;
  #dueAt = 0;
  #isSaving = false;

  constructor(store: SnapshotStore | undefined, configuration: Configuration, fingerprint: string, voice: Voice) {
    this.#store = store;
    this.#configuration = configuration;
    this.#fingerprint = fingerprint;
    this.#voice = voice;
  }

  /** When something has to be kept; undefined where all is, or nothing came from the network yet. */
  get dueAt(): number | undefined {
    const { source, version } = this.#configuration;
    const isKept = this.#store === undefined || source !== "network" || this.#savedVersion === version;
    return isKept || this.#isSaving ? undefined : this.#dueAt;
  }

  /** Notes that the configuration came from the store and need not be written back. */
  noteStored(): void {
    this.#savedVersion = this.#configuration.version;
    this.#savedAt = this.#confirmedAt;
  }

  /**
   * Keeps what has changed, where it is time. `isLast`: the client ends.
   *
   * A store may be foreign code and hang. Then the sender goes on, and one that hangs is not joined by another.
   */
  async save(isLast = false): Promise<void> {
    if (this.#isSaving) return;
    this.#isSaving = true;
    const saving = this.#save(isLast).finally(() => {
      this.#isSaving = false;
    });
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, WAIT_MS).unref();
    });
    await Promise.race([saving, late]);
    clearTimeout(timer);
  }

  async #save(isLast: boolean): Promise<void> {
    const { environment, proof, source } = this.#configuration;
    if (this.#store === undefined || source !== "network" || (performance.now() < this.#dueAt && !isLast)) return;
    const confirmedAt = this.#confirmedAt;
    const isNewer = confirmedAt > this.#savedAt + (isLast ? CONFIRM_LAST_MS : CONFIRM_EVERY_MS);
    if (environment.version === this.#savedVersion && !isNewer) return;
    try {
      const text = proof === undefined ? JSON.stringify(environment.document) : "";
      await this.#store.save(writeCopy(text, proof, this.#fingerprint, confirmedAt), environment.version);
      this.#savedVersion = environment.version;
      this.#savedAt = confirmedAt;
    } catch (error) {
      // A store may be foreign code; the copy is a precaution.
      this.#voice.warn(`the snapshot could not be stored: ${String(error)}`);
    }
    this.#dueAt = performance.now() + EVERY_MS;
  }

  get #confirmedAt(): number {
    return Date.now() - (this.#configuration.ageMs ?? 0);
  }
}
