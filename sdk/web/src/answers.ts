/** One user's answers: as OFREP gives them, and as the browser's storage keeps them. */

/** What the platform knows of a user: `targetingKey` is the user id, everything else are attributes. */
export interface Context {
  readonly targetingKey?: string;
  readonly [attribute: string]: unknown;
}

/** A flag's answer in OFREP's form. */
export interface Answer {
  readonly key: string;
  readonly value?: unknown;
  readonly variant?: string;
  readonly reason?: string;
  readonly errorCode?: string;
  readonly metadata?: Readonly<Record<string, string | number | boolean>>;
}

/** The unit that the flag hashes for this context; undefined where it has none, and nothing is recorded. */
export function unitOf(context: Context, metadata: Answer["metadata"] = {}): string | undefined {
  const units = String(metadata.bucketBy ?? "userId")
    .split(",")
    .map((name) => context[name === "userId" ? "targetingKey" : name]);
  const unit = units.find((one) => (typeof one === "string" && one) || Number.isSafeInteger(one));
  return unit === undefined ? undefined : String(unit);
}

/**
 * The body of OFREP's bulk answer; what a server-side bootstrap gives as well.
 *
 * A bootstrap's metadata names its user as `targetingKey`.
 */
export interface Bulk {
  readonly flags: readonly Answer[];
  readonly metadata?: Readonly<Record<string, string | number | boolean>>;
  readonly eventStreams?: readonly {
    readonly url?: string;
    readonly endpoint?: { readonly origin?: string; readonly requestUri: string };
  }[];
}

/** What a server wrote into the page: the answers, or their text with a signature for whoever passed it on. */
export type Bootstrap = Bulk | { readonly answers: string; readonly signature: string };

/** The answers that a server wrote into the page, where they are this user's. */
export function writtenFor({ targetingKey = "" }: Context, given: Bootstrap | undefined): Bulk | undefined {
  if (given === undefined) return undefined;
  try {
    const bulk = "answers" in given ? (JSON.parse(given.answers) as Bulk) : given;
    const { targetingKey: written = targetingKey } = bulk.metadata ?? {};
    if (written === targetingKey) return bulk;
  } catch {
    // It was cut on its way.
  }
  console.warn("openflagship: the bootstrap is no answer for this user, and is not served");
  return undefined;
}

/** The answers of one user at one version. They are replaced as a whole. */
export interface Answers {
  readonly context: Context;
  readonly flags: ReadonlyMap<string, Answer>;
  readonly version: unknown;
  readonly etag: string | null;
  readonly source: "network" | "store" | "bootstrap" | "nothing";
}

export function answersOf(bulk: Bulk, context: Context, source: Answers["source"], etag: string | null): Answers {
  const flags = new Map(bulk.flags.map((answer) => [answer.key, answer]));
  return { context, flags, version: bulk.metadata?.configVersion, etag, source };
}

/** Whether a page that shows the answer records it: some flags log nothing but what a running experiment answers. */
export function isLogged(metadata: Answer["metadata"]): boolean {
  return metadata?.exposures !== "experiments" || metadata.experiment !== undefined;
}

/** Keeps the last answers in the browser's storage, under hashes of key and user: neither can be read from it. */
export class Copies {
  readonly #key: string;
  // Another key's copies belong to another client of the same origin.
  readonly #prefix: string;
  readonly #storage: Storage | undefined;

  constructor(key: string, isOn: boolean) {
    this.#key = key;
    this.#prefix = `openflagship.${hashed(key)}.`;
    try {
      // A browser that forbids storage throws when it is looked at.
      this.#storage = isOn ? globalThis.localStorage : undefined;
    } catch {
      this.#storage = undefined;
    }
  }

  load(context: Context): Answers | undefined {
    try {
      const [bulk, etag] = JSON.parse(this.#storage?.getItem(this.#name(context)) as string) as [Bulk, string | null];
      return answersOf(bulk, context, "store", etag);
    } catch {
      // There is none, or it is of another form.
      return undefined;
    }
  }

  /** Keeps a bulk answer, and no other user's. */
  save({ flags, metadata }: Bulk, context: Context, etag: string | null): void {
    const storage = this.#storage;
    const name = this.#name(context);
    try {
      for (const other of Object.keys(storage ?? {})) {
        if (other.startsWith(this.#prefix) && other !== name) storage?.removeItem(other);
      }
      storage?.setItem(name, JSON.stringify([{ flags, metadata }, etag]));
    } catch {
      // It is full: the next page starts without.
    }
  }

  #name({ targetingKey = "" }: Context): string {
    return this.#prefix + hashed(`${this.#key} ${targetingKey}`);
  }
}

/** Two rounds of FNV-1a: short, and enough to tell a few names apart. */
function hashed(text: string): string {
  return [2_166_136_261, 84_696_351]
    .map((start) => {
      let hash = start;
      for (let at = 0; at < text.length; at += 1) hash = Math.imul(hash ^ text.charCodeAt(at), 16_777_619);
      return (hash >>> 0).toString(36);
    })
    .join("");
}
