/** The key that a client is made with: whether it is one, and of the right kind. */

import { createHash } from "node:crypto";

const WRONG_KINDS = {
  fs_client_: "This is a client key (fs_client_…), which may not read the rules.",
  fs_manage_: "This is a management token (fs_manage_…), which belongs to no environment.",
  fs_sign_: "This is a signing secret (fs_sign_…); give it as signingSecret.",
};

/** The key without the space around it. Throws `TypeError`, which never contains the key: it ends up in logs. */
export function checkServerKey(key: string, isOffline: boolean): string {
  // Keys come from files and variables, often with a newline at the end.
  const found = String(key ?? "").trim();
  for (const [prefix, problem] of Object.entries(WRONG_KINDS)) {
    if (found.startsWith(prefix)) {
      throw new TypeError(`${problem} Give the environment's server key (fs_server_…).`);
    }
  }
  if (!isOffline && found === "") {
    throw new TypeError("Give the environment's server key, or the mode offline.");
  }
  if (!/^[ -~]*$/.test(found)) throw new TypeError("The server key holds a character that no key has.");
  return found;
}

/** A name for the key's environment that may be written down: nobody finds the key from it. */
export function fingerprintOf(key: string): string {
  if (key === "") return "";
  return createHash("sha256").update(`openflagship snapshot ${key}`).digest("hex").slice(0, 16);
}
