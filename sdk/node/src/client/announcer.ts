/** Tells listeners what changed, after the change: a slow or failing listener holds up nothing. */

import type { Environment } from "../engine/index.js";
import type { ChangedKeys } from "../following/configuration.js";
import type { Voice } from "./logger.js";

/** `keys` of the changed flags; undefined where any may have changed, empty where only staleness did. */
export type ChangeListener = (keys: ChangedKeys, environment: Environment) => void;

export class Announcer {
  readonly #voice: Voice;
  readonly #onChange = new Set<ChangeListener>();
  readonly #onConnection = new Set<(connection: string) => void>();

  #isOver = false;

  constructor(voice: Voice) {
    this.#voice = voice;
  }

  /** Tells nobody of what is to come: the client is closed. */
  end(): void {
    this.#isOver = true;
  }

  listen(listener: ChangeListener): () => void {
    checkListener(listener);
    const own: ChangeListener = (...news) => listener(...news);
    this.#onChange.add(own);
    return () => this.#onChange.delete(own);
  }

  listenToConnection(listener: (connection: string) => void): () => void {
    checkListener(listener);
    const own = (connection: string) => listener(connection);
    this.#onConnection.add(own);
    return () => this.#onConnection.delete(own);
  }

  changed(keys: ChangedKeys, environment: Environment): void {
    for (const listener of this.#onChange) this.#tell(() => listener(keys, environment));
  }

  connectionIs(connection: string): void {
    for (const listener of this.#onConnection) this.#tell(() => listener(connection));
  }

  #tell(call: () => unknown): void {
    if (this.#isOver) return;
    queueMicrotask(() => {
      try {
        this.#voice.heed(call(), "a listener to changes failed");
      } catch (error) {
        this.#voice.warn(`a listener to changes failed: ${String(error)}`);
      }
    });
  }
}

function checkListener(listener: unknown): void {
  if (typeof listener !== "function") throw new TypeError("Give a function.");
}
