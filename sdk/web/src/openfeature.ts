/**
 * `openflagship-web/openfeature`: for pages with OpenFeature's web SDK and its plain OFREP provider.
 *
 * The provider is given every flag at once, and tells nobody which of them a page showed. The hook does.
 */

import { type Context, isLogged, unitOf } from "./answers.js";
import { Events } from "./events.js";

/** The part of OpenFeature's hooks that is used here, so that no version of its SDK is needed. */
interface Details {
  readonly flagKey: string;
  readonly variant?: string;
  readonly errorCode?: string;
  readonly flagMetadata?: Readonly<Record<string, string | number | boolean>>;
}

interface HookContext {
  readonly context: Context;
}

/** Records an exposure of each flag that a page asks for: `OpenFeature.addHooks(new ExposureHook(key, url))`. */
export class ExposureHook {
  readonly #events: Events;
  readonly #shown = new Set<string>();

  constructor(clientKey: string, url: string) {
    this.#events = new Events(url.replace(/\/+$/, ""), clientKey);
  }

  after({ context }: HookContext, { flagKey, variant, errorCode, flagMetadata = {} }: Details): void {
    const userId = unitOf(context, flagMetadata);
    const mark = JSON.stringify([userId, flagKey, variant]);
    if (!userId || !variant || errorCode || !isLogged(flagMetadata) || this.#shown.has(mark)) return;
    this.#shown.add(mark);
    const { experiment } = flagMetadata;
    this.#events.add("exposure", { flagKey, userId, variant, experiment, source: "openfeature-web" });
  }

  /** Sends what waits; true where nothing waits any more. */
  async flush(): Promise<boolean> {
    return await this.#events.flush();
  }

  async close(): Promise<void> {
    await this.#events.close();
  }
}

/**
 * The `fetchImplementation` of the OFREP provider: it asks for answers that the platform does not count as shown.
 *
 * Without it, those of running experiments are recorded as prefetched, apart from the hook's.
 */
export const ofrepFetch: typeof fetch = async (input, init) => {
  const request = new Request(input, init);
  const url = new URL(request.url);
  url.searchParams.set("exposures", "none");
  const { method, headers, signal } = request;
  // As text: a request's own body is a stream, which browsers send over HTTP/2 alone.
  const body = method === "GET" ? undefined : await request.text();
  return await fetch(url, { method, headers, signal, ...(body === undefined ? {} : { body }) });
};
