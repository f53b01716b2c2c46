/** Posts to the platform: events, summaries and acknowledgements. */

import { promisify } from "node:util";
import { constants, gzip } from "node:zlib";
import type { Endpoint } from "../transport/endpoint.js";
import { type Headers, type Response, request, type Way } from "../transport/http.js";

const GZIP_FROM_BYTES = 1_024;
const pack = promisify(gzip);

export class Poster {
  readonly #endpoint: Endpoint;
  readonly #headers: Headers;
  readonly #way: Way;

  constructor(endpoint: Endpoint, headers: Headers, way: Way) {
    this.#endpoint = endpoint;
    this.#headers = { ...headers, "Content-Type": "application/json" };
    this.#way = way;
  }

  /** Posts JSON below `/api/`, large ones packed. `payloadId`: the same on every attempt. Throws where nothing answers. */
  async post(path: string, text: string, withinMs: number, payloadId?: string): Promise<Response> {
    let body: Buffer = Buffer.from(text);
    const headers: Record<string, string> = { ...this.#headers };
    if (payloadId !== undefined) headers["Idempotency-Key"] = payloadId;
    if (body.length >= GZIP_FROM_BYTES) {
      // The fastest level: events in one batch are alike anyway.
      body = await pack(body, { level: constants.Z_BEST_SPEED });
      headers["Content-Encoding"] = "gzip";
    }
    const way = { ...this.#way, connectMs: Math.min(withinMs, this.#way.connectMs) };
    return await request(this.#endpoint, { method: "POST", path: `/api/${path}`, headers, body }, way);
  }
}
