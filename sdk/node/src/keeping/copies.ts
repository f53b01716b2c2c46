/** The form in which a store keeps a snapshot: with its signatures, and with a mark of the key it was fetched with. */

import type { Environment } from "../engine/index.js";
import { checkSignature, type Proof, parseSnapshot, SnapshotError } from "../following/snapshots.js";

const FORMAT = "openflagship-snapshot-1";

/** A kept snapshot that may be used. */
export interface Copy {
  readonly environment: Environment;
  /** When it was last known to be current, as Unix milliseconds; undefined where that was not kept. */
  readonly confirmedAt: number | undefined;
  readonly proof: Proof | undefined;
}

/** `text` is the snapshot; where there is a proof, the text that was signed is kept in its place. */
export function writeCopy(text: string, proof: Proof | undefined, fingerprint: string, confirmedAt: number): string {
  return JSON.stringify({
    format: FORMAT,
    key: fingerprint,
    // Seconds, as in the other SDKs: a store may be shared.
    confirmedAt: confirmedAt / 1000,
    signatures: proof?.signatures ?? [],
    snapshot: proof?.body ?? text,
  });
}

/**
 * Throws `SnapshotError` for a copy that is of another key's environment, altered, or of a form not known.
 *
 * A bare snapshot, such as one that `flagship snapshot save` wrote, will do where no signature is asked for.
 */
export function readCopy(content: string, secret: string | undefined, fingerprint: string): Copy {
  // A look at the head spares reading a large bare snapshot twice.
  const kept = content.slice(0, 200).includes(FORMAT) ? objectIn(content) : undefined;
  if (kept?.format !== FORMAT) {
    if (secret !== undefined) throw new SnapshotError("the kept copy bears no signature");
    return { environment: parseSnapshot(content), confirmedAt: undefined, proof: undefined };
  }
  const { snapshot: body, signatures, key, confirmedAt } = kept;
  if (typeof body !== "string" || !Array.isArray(signatures)) {
    throw new SnapshotError("the kept copy is of a form that is not known");
  }
  if (fingerprint !== "" && key && key !== fingerprint) {
    throw new SnapshotError("the kept copy was fetched with another key, so it may be another environment's");
  }
  const proof = secret === undefined ? undefined : { body, signatures: signatures.map(String) };
  if (proof !== undefined && secret !== undefined) checkSignature(body, secret, proof.signatures);
  const at = typeof confirmedAt === "number" ? confirmedAt * 1000 : undefined;
  return { environment: parseSnapshot(body), confirmedAt: at, proof };
}

function objectIn(content: string): Record<string, unknown> {
  try {
    return JSON.parse(content) as Record<string, unknown>;
  } catch {
    throw new SnapshotError("the kept copy is no JSON");
  }
}
