/**
 * Where the stream is, and which server may be sent the credential.
 *
 * The credential goes to three origins: the API's, that of `streamUrl`, and the one that the API's own snapshot names.
 * A redirect leads to these alone.
 */

import { type Endpoint, endpointOf } from "../transport/endpoint.js";
import { urlOf } from "../transport/proxies.js";

export const STREAM_HEADER = "x-flagship-stream";
export const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/** Begins with what the options say. `note` takes what a snapshot's answer names. */
export class StreamAddress {
  readonly #api: Endpoint;
  readonly #given: Endpoint | undefined;
  readonly #proxy: string | undefined;
  #named: Endpoint | undefined;
  #isNamedAvoided = false;

  /** Throws for a `streamUrl` that is no address. */
  constructor(api: Endpoint, streamUrl: string | undefined, proxy: string | undefined) {
    this.#api = api;
    this.#proxy = proxy;
    this.#given = streamUrl === undefined ? undefined : endpointOf(streamUrl, proxy);
  }

  /** Takes the address that an answer of the API's names. One without TLS, behind an API with it, is none. */
  note(named: string | undefined): void {
    let endpoint = named === undefined ? undefined : this.#endpointAt(named);
    if (endpoint !== undefined && this.#api.isTls && !endpoint.isTls) endpoint = undefined;
    const isOther = endpoint?.origin !== this.#named?.origin || endpoint?.prefix !== this.#named?.prefix;
    this.#named = endpoint;
    if (isOther) this.#isNamedAvoided = false;
  }

  get current(): Endpoint {
    return this.#given ?? (this.#isNamedAvoided ? this.#api : (this.#named ?? this.#api));
  }

  /** Turns from the named address to the API's own, or back: the name may be out of date. */
  noteFailure(): void {
    this.#isNamedAvoided = !this.#isNamedAvoided;
  }

  /** Where `location` leads from there; undefined where the credential may not follow. */
  redirected(from: Endpoint, path: string, location: string): { endpoint: Endpoint; path: string } | undefined {
    const url = urlOf(location, `${from.origin}${from.prefix}${path}`);
    const endpoint = url === undefined ? undefined : this.#endpointAt(url.origin);
    const isKnown = [this.#api, this.#given, this.#named].some((one) => one?.origin === endpoint?.origin);
    if (url === undefined || endpoint === undefined || !isKnown || (from.isTls && !endpoint.isTls)) return undefined;
    return { endpoint, path: `${url.pathname}${url.search}` };
  }

  #endpointAt(address: string): Endpoint | undefined {
    try {
      return endpointOf(address, this.#proxy);
    } catch {
      return undefined;
    }
  }
}
