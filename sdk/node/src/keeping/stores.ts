/** Stores for the last good snapshot: a file, memory, or Redis for a whole fleet. */

import { randomUUID } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { mkdir, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";

/** What a store holds. */
export interface Kept {
  readonly content: string;
  /** For how long the store has had it, in milliseconds. */
  readonly ageMs: number;
}

/**
 * Both methods may be slow and may fail; a failure costs a warning. What `load` gives at once, without a promise, is
 * served from the constructor on.
 */
export interface SnapshotStore {
  load(): Kept | undefined | Promise<Kept | undefined>;
  save(content: string, version: number): Promise<void>;
}

/** A file that is replaced as a whole: a reader finds the old snapshot or the new one, never half of one. */
export class FileStore implements SnapshotStore {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  load(): Kept | undefined {
    try {
      const content = readFileSync(this.path, "utf8");
      return { content, ageMs: Math.max(0, Date.now() - statSync(this.path).mtimeMs) };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw error;
    }
  }

  async save(content: string): Promise<void> {
    await mkdir(dirname(this.path), { recursive: true });
    const beside = `${this.path}.${randomUUID()}`;
    try {
      // Readable by its owner alone: rules may name users.
      const file = await open(beside, "wx", 0o600);
      try {
        await file.writeFile(content);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(beside, this.path);
    } catch (error) {
      await rm(beside, { force: true });
      throw error;
    }
  }
}

/** Memory that the clients of one process share, such as those of a test. */
export class MemoryStore implements SnapshotStore {
  #saved: { readonly content: string; readonly version: number; readonly at: number } | undefined;

  load(): Kept | undefined {
    const saved = this.#saved;
    return saved === undefined ? undefined : { content: saved.content, ageMs: performance.now() - saved.at };
  }

  async save(content: string, version: number): Promise<void> {
    if (this.#saved === undefined || version >= this.#saved.version) {
      this.#saved = { content, version, at: performance.now() };
    }
  }
}

const SAVE = `
if tonumber(redis.call('HGET', KEYS[1], 'version') or '-1') <= tonumber(ARGV[1]) then
  redis.call('HSET', KEYS[1], 'version', ARGV[1], 'at', ARGV[2], 'body', ARGV[3])
end
`;

/** Sends one command to Redis, such as `(command) => redis.sendCommand(command)` of the package redis. */
export type RedisCommand = (command: string[]) => Promise<unknown>;

/** A hash in Redis that a fleet shares, in any language. An earlier version never replaces a later one. */
export class RedisStore implements SnapshotStore {
  readonly #send: RedisCommand;
  readonly #key: string;

  constructor(send: RedisCommand, key = "openflagship:snapshot") {
    this.#send = send;
    this.#key = key;
  }

  async load(): Promise<Kept | undefined> {
    const found = await this.#send(["HMGET", this.#key, "body", "at"]);
    const [body, at] = Array.isArray(found) ? found : [];
    if (body === null || body === undefined || at === null || at === undefined) return undefined;
    return { content: String(body), ageMs: Math.max(0, Date.now() - Number(at) * 1000) };
  }

  async save(content: string, version: number): Promise<void> {
    await this.#send(["EVAL", SAVE, "1", this.#key, String(version), String(Date.now() / 1000), content]);
  }
}
