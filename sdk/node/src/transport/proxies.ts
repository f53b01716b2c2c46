/** The HTTP proxy to a server: from the options, or from HTTPS_PROXY, HTTP_PROXY and NO_PROXY. */

import { isIP } from "node:net";

/** `authorization` is the value of the header; undefined for a proxy that asks for none. */
export interface ProxyAddress {
  readonly host: string;
  readonly port: number;
  readonly authorization: string | undefined;
}

/** Throws for an address that is not a plain http proxy's. */
export function proxyOf(address: string): ProxyAddress {
  const url = urlOf(address.includes("://") ? address : `http://${address}`);
  if (url === undefined || url.protocol !== "http:" || url.hostname === "" || url.port === "0" || !isDecodable(url)) {
    // Not the address itself: it may hold a password.
    throw new TypeError("proxy: Give a proxy's address such as http://proxy.example.com:3128.");
  }
  const pair = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  const authorization = url.username === "" ? undefined : `Basic ${Buffer.from(pair).toString("base64")}`;
  return { host: bare(url.hostname), port: Number(url.port || 80), authorization };
}

function isDecodable({ username, password }: URL): boolean {
  try {
    return decodeURIComponent(username + password) !== undefined;
  } catch {
    return false;
  }
}

/**
 * The proxy to a server; undefined where it is reached directly. Throws for a setting that is no proxy's address.
 *
 * `setting` goes before the environment; empty, it stands for no proxy at all. The environment's proxies are not asked
 * for this machine's own addresses.
 */
export function proxyFor(server: URL, setting: string | undefined): ProxyAddress | undefined {
  if (setting !== undefined) return setting === "" ? undefined : proxyOf(setting);
  const found = named(server.protocol === "https:" ? "HTTPS_PROXY" : "HTTP_PROXY") ?? named("ALL_PROXY");
  if (found === undefined || isLocal(bare(server.hostname)) || isExcepted(server)) return undefined;
  try {
    return proxyOf(found);
  } catch {
    // It was made for other programs, and may be of a kind that this one does not know.
    return undefined;
  }
}

/** The address; undefined for text that is none. */
export function urlOf(text: string, base?: string): URL | undefined {
  return URL.canParse(text, base) ? new URL(text, base) : undefined;
}

/** A host name without the brackets of an IPv6 address. */
export function bare(hostname: string): string {
  return hostname.replace(/^\[|\]$/g, "");
}

function named(variable: string): string | undefined {
  // In CGI, HTTP_PROXY is a header that a visitor sent.
  const isTrap = variable === "HTTP_PROXY" && process.env.REQUEST_METHOD !== undefined;
  return process.env[variable.toLowerCase()] || (isTrap ? undefined : process.env[variable]) || undefined;
}

function isLocal(host: string): boolean {
  return isIP(host) === 0 ? host.replace(/\.$/, "") === "localhost" : host === "::1" || host.startsWith("127.");
}

function isExcepted(server: URL): boolean {
  const exceptions = (named("NO_PROXY") ?? "").split(",").map((one) => one.trim().toLowerCase());
  const port = server.port || (server.protocol === "https:" ? "443" : "80");
  return exceptions.some((one) => {
    const name = one.replace(/^\*?\./, "");
    const host = name.replace(/:\d+$/, "");
    if (one === "*") return true;
    if (name === "" || (name !== host && name !== `${host}:${port}`)) return false;
    return server.hostname === host || server.hostname.endsWith(`.${host}`);
  });
}
