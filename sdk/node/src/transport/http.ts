/**
 * HTTP by Node's own client. Each request has its own connection, and every step a deadline: a peer that drips a byte
 * now and then is found out like a silent one.
 *
 * `fetch` would do for less: it takes neither a proxy nor an authority of one's own, and keeps sockets after the end.
 */

import { type ClientRequest, type IncomingMessage, type OutgoingHttpHeaders, request as overHttp } from "node:http";
import { request as overHttps } from "node:https";
import { isIP, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import type { Endpoint } from "./endpoint.js";

const MOST_BODY_BYTES = 256 * 1024 * 1024;
const MOST_REASON_BYTES = 64 * 1024;
const unpack = promisify(gunzip);

export type Headers = Readonly<Record<string, string>>;

/** What a request needs besides its address. */
export interface Sent {
  readonly method: "GET" | "POST";
  /** Below the endpoint's prefix. */
  readonly path: string;
  readonly headers: Headers;
  readonly body?: Buffer;
}

/** How a client reaches servers. */
export interface Way {
  /** Authorities in PEM, in place of Node's own. */
  readonly ca: string | undefined;
  /** For a connection, and for the head of an answer, in milliseconds. */
  readonly connectMs: number;
  /** Ends every request of the client. */
  readonly signal: AbortSignal;
}

/** Status, headers by lower-case name, and the whole body. */
export interface Response {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Buffer;
}

/** An answer whose body is read piece by piece. */
export interface OpenResponse {
  readonly status: number;
  readonly headers: Headers;
  readonly stream: IncomingMessage;
  close(): void;
}

/** The other side does not speak HTTP, is too slow, or sends more than the limits allow. */
export class HttpError extends Error {
  override readonly name = "HttpError";
}

/** Sends a request and reads the head of the answer. Throws where none comes within `connectMs`. */
export async function open(endpoint: Endpoint, sent: Sent, way: Way): Promise<OpenResponse> {
  const deadline = performance.now() + 2 * way.connectMs;
  const socket = await tunnelled(endpoint, way);
  return await new Promise((resolve, reject) => {
    const request = begun(endpoint, sent, way, socket);
    const timer = setTimeout(
      () => request.destroy(new HttpError("timed out: the answer did not come in time")),
      Math.min(deadline - performance.now(), way.connectMs),
    ).unref();
    const close = () => request.destroy();
    request.on("socket", (used) => used.unref());
    request.on("error", (error) => {
      clearTimeout(timer);
      reject(error);
    });
    request.on("response", (stream) => {
      clearTimeout(timer);
      resolve({ status: stream.statusCode ?? 0, headers: plain(stream), stream, close });
    });
    request.end(sent.body);
  });
}

/** Sends a request and reads the whole answer, unpacked. `wholeMs`: for its body. Throws as `open`. */
export async function request(
  endpoint: Endpoint,
  sent: Sent,
  way: Way,
  wholeMs: number = way.connectMs,
): Promise<Response> {
  const { status, headers, stream, close } = await open(endpoint, sent, way);
  try {
    const body = await readWhole(stream, MOST_BODY_BYTES, wholeMs);
    const isPacked = headers["content-encoding"] === "gzip";
    return { status, headers, body: isPacked ? await unpack(body, { maxOutputLength: MOST_BODY_BYTES }) : body };
  } finally {
    close();
  }
}

/** What a refusal says of itself, as far as it comes. */
export async function readRefusal({ stream }: OpenResponse, withinMs: number): Promise<Buffer> {
  try {
    return await readWhole(stream, MOST_REASON_BYTES, withinMs);
  } catch {
    return Buffer.alloc(0);
  }
}

async function readWhole(stream: IncomingMessage, mostBytes: number, withinMs: number): Promise<Buffer> {
  const timer = setTimeout(
    () => stream.destroy(new HttpError("timed out: the answer did not end in time")),
    withinMs,
  ).unref();
  try {
    const pieces: Buffer[] = [];
    let size = 0;
    for await (const piece of stream as AsyncIterable<Buffer>) {
      pieces.push(piece);
      size += piece.length;
      if (size > mostBytes) throw new HttpError(`the answer is larger than ${mostBytes} bytes`);
    }
    if (!stream.complete) throw new HttpError("the connection ended before the answer did");
    return Buffer.concat(pieces);
  } finally {
    clearTimeout(timer);
  }
}

function begun(endpoint: Endpoint, sent: Sent, way: Way, socket: Socket | undefined): ClientRequest {
  const { host, port, isTls, prefix, proxy, authority } = endpoint;
  const headers: OutgoingHttpHeaders = { ...sent.headers, Host: authority };
  if (sent.method === "POST") headers["Content-Length"] = sent.body?.length ?? 0;
  const shared = { agent: false as const, method: sent.method, headers, signal: way.signal };
  const path = `${prefix}${sent.path}`;
  if (isTls) {
    const ca = way.ca === undefined ? {} : { ca: way.ca };
    const name = isIP(host) === 0 ? { servername: host } : {};
    const tls = { ...ca, ...name, host, port };
    const createConnection = socket === undefined ? {} : { createConnection: () => connectTls({ ...tls, socket }) };
    return overHttps({ ...shared, ...tls, ...createConnection, path });
  }
  if (proxy === undefined) return overHttp({ ...shared, host, port, path });
  // It reads the request itself, and sends it on; what is TLS goes through a tunnel.
  if (proxy.authorization !== undefined) headers["Proxy-Authorization"] = proxy.authorization;
  return overHttp({ ...shared, host: proxy.host, port: proxy.port, path: `http://${authority}${path}` });
}

/** A connection through the proxy to a server with TLS; undefined where none is needed. */
async function tunnelled({ host, port, isTls, proxy }: Endpoint, way: Way): Promise<Socket | undefined> {
  if (!isTls || proxy === undefined) return undefined;
  const target = `${host.includes(":") ? `[${host}]` : host}:${port}`;
  const authorization = proxy.authorization === undefined ? {} : { "Proxy-Authorization": proxy.authorization };
  const request = overHttp({
    agent: false,
    method: "CONNECT",
    host: proxy.host,
    port: proxy.port,
    path: target,
    headers: { Host: target, ...authorization },
    signal: way.signal,
  });
  return await new Promise((resolve, reject) => {
    const late = () => request.destroy(new HttpError("timed out: the proxy did not answer in time"));
    const timer = setTimeout(late, way.connectMs).unref();
    request.on("socket", (used) => used.unref());
    request.on("error", (error) => {
      clearTimeout(timer);
      reject(error);
    });
    request.on("connect", ({ statusCode = 0 }, socket) => {
      clearTimeout(timer);
      if (statusCode >= 200 && statusCode < 300) {
        resolve(socket);
      } else {
        socket.destroy();
        reject(new HttpError(`the proxy answered ${statusCode} to CONNECT`));
      }
    });
    request.end();
  });
}

function plain({ headers }: IncomingMessage): Headers {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]));
}
