/** UUIDv7 (RFC 9562): ids that sort by time, which keeps the event tables' inserts local. */

import { randomBytes } from "node:crypto";

/** A new id of the given moment, in Unix milliseconds. The other 74 bits are random. */
export function uuid7(unixMs: number = Date.now()): string {
  const time = Math.trunc(unixMs).toString(16).padStart(12, "0");
  const random = randomBytes(10);
  random[0] = 0x70 | ((random[0] as number) & 0x0f);
  random[2] = 0x80 | ((random[2] as number) & 0x3f);
  const hex = random.toString("hex");
  return `${time.slice(0, 8)}-${time.slice(8)}-${hex.slice(0, 4)}-${hex.slice(4, 8)}-${hex.slice(8)}`;
}
