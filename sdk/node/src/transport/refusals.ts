/** What an answer says that is not the one that was asked for, and how old its sender's news is. */

import type { Headers, Response } from "./http.js";
import { urlOf } from "./proxies.js";

const MOST_RETRY_MS = 600_000;
const MOST_REASON_CHARACTERS = 500;

/** The server answered with a status, or in a form, that was not asked for. */
export class RefusedError extends Error {
  override readonly name: string = "RefusedError";
  readonly status: number;
  /** The pause that the server asks for; 0 for none. */
  readonly retryAfterMs: number;

  constructor({ status, headers }: Pick<Response, "status" | "headers">, what: string, problem: string) {
    super(`the server answered ${status} to ${what}${problem === "" ? "" : `: ${problem}`}`);
    this.status = status;
    this.retryAfterMs = retryAfterOf(headers) ?? 0;
  }
}

/** The same, of the stream: whether the key works, the snapshot's answer says. */
export class StreamRefusedError extends RefusedError {
  override readonly name = "StreamRefusedError";
}

/** The pause that `Retry-After` asks for, as seconds or as a date, in milliseconds; at most ten minutes. */
export function retryAfterOf(headers: Headers): number | undefined {
  const said = headers["retry-after"];
  if (said === undefined) return undefined;
  if (/^[0-9]+$/.test(said)) return Math.min(Number(said) * 1000, MOST_RETRY_MS);
  const at = Date.parse(said);
  return Number.isNaN(at) ? undefined : Math.max(0, Math.min(at - Date.now(), MOST_RETRY_MS));
}

/** For how long the sender has been without news, in milliseconds; undefined where it says nothing that can be read. */
export function ageOf(headers: Headers): number | undefined {
  const said = headers["x-flagship-age"]?.trim();
  const seconds = said ? Number(said) : Number.NaN;
  return Number.isFinite(seconds) && seconds >= 0 ? seconds * 1000 : undefined;
}

/** The origin that a redirect leads to, for people. */
export function targetOf(headers: Headers): string {
  return urlOf(headers.location ?? "")?.origin ?? "what is no address";
}

/** The errors of a body in the API's form, each with code and detail. */
export function errorsIn(body: Buffer): { readonly code: string; readonly detail: string }[] {
  const { errors, detail } = objectIn(body);
  const listed = Array.isArray(errors) ? errors : typeof detail === "string" ? [{ detail }] : [];
  return listed
    .filter((one) => typeof one === "object" && one !== null)
    .map((one) => ({ code: String(one.code ?? ""), detail: String(one.detail ?? "") }));
}

/** The server's own words about a refusal; empty where it says nothing that can be read. */
export function reasonIn(body: Buffer): string {
  const details = errorsIn(body).map((one) => one.detail);
  const text = details.filter((detail) => detail !== "").join("; ");
  // biome-ignore lint/suspicious/noControlCharactersInRegex: what a log must not hold
  return text.slice(0, MOST_REASON_CHARACTERS).replace(/[\u0000-\u001f\u007f-\u009f]/g, " ");
}

/** A body's JSON object; empty where it has none. */
export function objectIn(body: Buffer): Record<string, unknown> {
  try {
    const found: unknown = JSON.parse(body.toString());
    return typeof found === "object" && found !== null ? (found as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
