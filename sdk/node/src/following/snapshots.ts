/** Snapshots as they are received and kept: their signatures, and the events that change them. */

import { createHmac, timingSafeEqual } from "node:crypto";
import { DocumentError, Environment } from "../engine/index.js";
import type { ServerEvent } from "../transport/sse.js";

/** The received snapshot cannot be used; the message says why. */
export class SnapshotError extends Error {
  override readonly name = "SnapshotError";
}

/** A change cannot be applied by itself, so the client has to fetch the whole snapshot. */
export class ResyncNeededError extends Error {
  override readonly name = "ResyncNeededError";
}

/** A snapshot as its maker signed it: what is kept with its signatures can be checked again. */
export interface Proof {
  readonly body: string;
  readonly signatures: readonly string[];
}

/** The environment of a snapshot's text. `previous` as in `Environment.fromDocument`. Throws `SnapshotError`. */
export function parseSnapshot(text: string, previous?: Environment): Environment {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    throw new SnapshotError("this is no JSON");
  }
  try {
    return Environment.fromDocument(document, previous);
  } catch (error) {
    if (error instanceof DocumentError) throw new SnapshotError(`this is no snapshot: ${error.message}`);
    throw error;
  }
}

/** Throws `SnapshotError` unless a signature is `sha256=` and the HMAC of the text in hexadecimal. */
export function checkSignature(text: string | Buffer, secret: string, signatures: readonly string[]): void {
  const expected = Buffer.from(`sha256=${createHmac("sha256", secret).update(text).digest("hex")}`);
  const isRight = signatures.some((signature) => {
    const given = Buffer.from(signature.trim());
    return given.length === expected.length && timingSafeEqual(given, expected);
  });
  if (!isRight) throw new SnapshotError("the snapshot's signature is missing or wrong");
}

const FLAG_KINDS: ReadonlySet<string> = new Set(["flag_updated", "flag_archived", "kill_switch"]);
const SEGMENT_KINDS: ReadonlySet<string> = new Set(["segment_updated"]);
export const SNAPSHOT = "snapshot";
export const KILL_SWITCH = "kill_switch";

export function isAboutFlag(kind: string): boolean {
  return FLAG_KINDS.has(kind);
}

/** Whether this SDK knows the kind. Others are passed over. */
export function isKnownKind(kind: string): boolean {
  return kind === SNAPSHOT || FLAG_KINDS.has(kind) || SEGMENT_KINDS.has(kind);
}

/** The configuration version that an event brings. Throws `ResyncNeededError` for the id of a known kind that is none. */
export function versionOfEvent({ kind, id }: ServerEvent): number | undefined {
  if (id === undefined) return undefined;
  if (/^[0-9]{1,15}$/.test(id)) return Number(id);
  if (isKnownKind(kind)) throw new ResyncNeededError("an event's id is no version");
  return undefined;
}

/** The key and document of an event about a flag or a segment; null where it is no longer served. */
export function changeIn({ data }: ServerEvent): { readonly key: string; readonly document: object | null } {
  let found: unknown;
  try {
    found = JSON.parse(data);
  } catch {
    throw new ResyncNeededError("an event is no JSON");
  }
  if (typeof found !== "object" || found === null || !("key" in found) || typeof found.key !== "string") {
    throw new ResyncNeededError("an event names no flag and no segment");
  }
  return { key: found.key, document: "deleted" in found && found.deleted === true ? null : found };
}

/** The proof of these events where they are one signed snapshot. */
export function signedSnapshotIn(events: readonly ServerEvent[], secret: string): Proof | undefined {
  const [only] = events;
  if (events.length !== 1 || only === undefined || only.kind !== SNAPSHOT) return undefined;
  try {
    checkSignature(only.data, secret, only.signatures);
  } catch (error) {
    if (error instanceof SnapshotError) return undefined;
    throw error;
  }
  return { body: only.data, signatures: only.signatures };
}
