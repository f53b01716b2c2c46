/** What the server says to a batch of events: its receipt and its refusals. */

import type { Response } from "../transport/http.js";
import { objectIn } from "../transport/refusals.js";

const MOST_CHARACTERS = 300;
const MOST_SAID = 5;

/** The refusals of a batch that was taken, each as text; undefined for an answer that is no receipt, such as a login page's. */
export function receiptOf({ status, body }: Response): readonly string[] | undefined {
  const { accepted, rejected } = status === 202 ? objectIn(body) : {};
  if (!Number.isInteger(accepted)) return undefined;
  const refused = Array.isArray(rejected) ? rejected : [];
  return refused
    .filter((one) => typeof one === "object" && one !== null)
    .map(({ code, detail }) => `${short(code)}: ${short(detail)}`);
}

/** The refusals of a batch by code and detail, the most frequent first. */
export function summedUp(refused: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const one of refused) counts.set(one, (counts.get(one) ?? 0) + 1);
  const kinds = [...counts].sort(([, one], [, other]) => other - one).slice(0, MOST_SAID);
  return kinds.map(([kind, count]) => `${count} x ${kind}`).join("; ");
}

function short(value: unknown): string {
  return String(value).slice(0, MOST_CHARACTERS);
}
