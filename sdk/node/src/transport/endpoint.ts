/** The address of a server, below which its routes stand, and the way there. */

import { bare, type ProxyAddress, proxyFor, urlOf } from "./proxies.js";

export interface Endpoint {
  readonly host: string;
  readonly port: number;
  readonly isTls: boolean;
  /** What a `Host` header says. */
  readonly authority: string;
  /** What two addresses of one server share. */
  readonly origin: string;
  /** The path that routes stand below, without a slash at its end. */
  readonly prefix: string;
  readonly proxy: ProxyAddress | undefined;
}

/** `proxy` as in the options. Throws for an address that is neither http nor https. */
export function endpointOf(address: string, proxy: string | undefined): Endpoint {
  const url = urlOf(address);
  if (url === undefined || (url.protocol !== "http:" && url.protocol !== "https:") || url.hostname === "") {
    // Not the address itself: it may hold a password.
    throw new TypeError("Give an address such as https://flags.example.com.");
  }
  if (url.port === "0") throw new TypeError("The port of an address is 1 to 65535.");
  const isTls = url.protocol === "https:";
  return {
    host: bare(url.hostname),
    port: Number(url.port || (isTls ? 443 : 80)),
    isTls,
    authority: url.host,
    origin: url.origin,
    prefix: url.pathname.replace(/\/+$/, ""),
    proxy: proxyFor(url, proxy),
  };
}
