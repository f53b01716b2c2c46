/** MurmurHash3 x86 32 (seed 0) of UTF-8 text, as the evaluation contract asks for. */

/** Half-open ranges lie within 0 to this. */
export const BUCKETS = 10_000;

const encoder = new TextEncoder();

/**
 * The hash of texts that begin alike. The prefix is hashed once; each call hashes the unit alone.
 *
 * Texts of ASCII are read without an intermediate buffer.
 */
export class PrefixHash {
  readonly #state: number;
  // Bytes of the prefix that fill no block of four yet, little-endian, and how many bits they are.
  readonly #rest: number;
  readonly #restBits: number;
  readonly #length: number;

  constructor(prefix: string) {
    const bytes = encoder.encode(prefix);
    let state = 0;
    let rest = 0;
    let bits = 0;
    for (const byte of bytes) {
      rest |= byte << bits;
      bits += 8;
      if (bits === 32) {
        state = mixed(state, rest);
        rest = 0;
        bits = 0;
      }
    }
    this.#state = state;
    this.#rest = rest;
    this.#restBits = bits;
    this.#length = bytes.length;
  }

  /** The unsigned hash of the prefix and this text. */
  hash(text: string): number {
    const size = text.length;
    let state = this.#state;
    let rest = this.#rest;
    let bits = this.#restBits;
    for (let at = 0; at < size; at += 1) {
      const code = text.charCodeAt(at);
      if (code > 127) return hashOf(this.#state, this.#rest, this.#restBits, this.#length, encoder.encode(text));
      rest |= code << bits;
      bits += 8;
      if (bits === 32) {
        state = mixed(state, rest);
        rest = 0;
        bits = 0;
      }
    }
    return finished(state, rest, this.#length + size);
  }

  /** The bucket of a unit, 0 to 9999. The unit must not be empty. */
  bucket(unit: string): number {
    return this.hash(unit) % BUCKETS;
  }

  /** What `hashOf` goes on from. */
  get prefix(): readonly [state: number, rest: number, bits: number, length: number] {
    return [this.#state, this.#rest, this.#restBits, this.#length];
  }
}

/** The unsigned hash of a prefix that was read up to here, and these bytes. */
export function hashOf(
  before: number,
  restBefore: number,
  restBits: number,
  length: number,
  bytes: Uint8Array,
): number {
  let state = before;
  let rest = restBefore;
  let bits = restBits;
  for (let at = 0; at < bytes.length; at += 1) {
    rest |= (bytes[at] as number) << bits;
    bits += 8;
    if (bits === 32) {
      state = mixed(state, rest);
      rest = 0;
      bits = 0;
    }
  }
  return finished(state, rest, length + bytes.length);
}

/** The bucket of `salt:unit`, 0 to 9999. The unit must not be empty. */
export function bucket(salt: string, unit: string): number {
  return new PrefixHash(`${salt}:`).bucket(unit);
}

function scrambled(block: number): number {
  const turned = Math.imul(block, 0xcc9e2d51);
  return Math.imul((turned << 15) | (turned >>> 17), 0x1b873593);
}

function mixed(state: number, block: number): number {
  const next = state ^ scrambled(block);
  return (Math.imul((next << 13) | (next >>> 19), 5) + 0xe6546b64) | 0;
}

function finished(state: number, rest: number, length: number): number {
  // An empty rest scrambles to nothing.
  let hash = state ^ scrambled(rest) ^ length;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
