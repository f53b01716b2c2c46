/** How long to wait after failures. Jitter keeps the clients of a restarted server from coming all at once. */
export class Backoff {
  failures = 0;
  readonly #firstMs: number;
  readonly #mostMs: number;

  constructor(firstMs: number, mostMs: number) {
    this.#firstMs = firstMs;
    this.#mostMs = mostMs;
  }

  reset(): void {
    this.failures = 0;
  }

  /** Each failure doubles the ceiling. A wait is random: between half of the ceiling and all of it. */
  nextMs(): number {
    const ceiling = Math.min(this.#mostMs, this.#firstMs * 2 ** Math.min(this.failures, 16));
    this.failures += 1;
    return ceiling * (0.5 + 0.5 * Math.random());
  }
}
