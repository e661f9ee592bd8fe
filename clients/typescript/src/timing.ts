/** Waiting: pauses, deadlines, and the signals that end them. */

import { Aborted } from "./errors.js";

/** The first pause before a repeat; it doubles with each. */
export const PAUSE_MS_MIN = 100;
/** No pause of our own is longer. `Retry-After` may ask for more. */
export const PAUSE_MS_MAX = 5_000;

/** Return how long to wait before repeat number `attempt` (0, 1, …): with full jitter. */
export function pauseBefore(attempt: number, random: () => number = Math.random): number {
  const most = Math.min(PAUSE_MS_MAX, PAUSE_MS_MIN * 2 ** attempt);
  return most / 2 + (most / 2) * random();
}

/** Return what a `Retry-After` header says, in milliseconds; undefined: it says nothing. */
export function retryAfterMs(header: string | null, now: number): number | undefined {
  if (header === null || header.trim() === "") return undefined;
  const seconds = Number(header);
  if (Number.isFinite(seconds)) return Math.max(0, seconds * 1_000);
  const at = Date.parse(header);
  return Number.isNaN(at) ? undefined : Math.max(0, at - now);
}

/** Wait. Throws Aborted, with the key of the call, as soon as the signal says so. */
export function pause(ms: number, signal?: AbortSignal, key?: string): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(new Aborted({ key, cause: signal.reason }));
    const onAbort = () => {
      clearTimeout(timer);
      reject(new Aborted({ key, cause: signal?.reason }));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    }, ms);
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}

/** A signal that ends after a time, or with another one. `AbortSignal.any` is not everywhere. */
export class Limit {
  readonly #controller = new AbortController();
  readonly #outer: AbortSignal | undefined;
  readonly #onAbort = () => this.#controller.abort(this.#outer?.reason);
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(ms: number, outer: AbortSignal | undefined) {
    this.#outer = outer;
    if (outer?.aborted) this.#onAbort();
    else outer?.addEventListener("abort", this.#onAbort, { once: true });
    this.restart(ms);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Stop the time. */
  stop(): void {
    clearTimeout(this.#timer);
  }

  /** Begin the time again. */
  restart(ms: number): void {
    this.stop();
    const onTime = () => this.#controller.abort(new Error(`nothing came within ${ms} ms`));
    this.#timer = setTimeout(onTime, ms);
  }

  /** End what runs under it, and forget the time. */
  end(): void {
    this.clear();
    this.#controller.abort();
  }

  /** Forget the time, and the signal outside. */
  clear(): void {
    this.stop();
    this.#outer?.removeEventListener("abort", this.#onAbort);
  }
}
