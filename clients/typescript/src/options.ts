/** What a client is made with, and what it says of calls that it allowed while nobody answered. */

import type { Charge } from "./answers.js";
import type { ChargeFields, Cost, HoldFields } from "./calls.js";
import type { AllotmentError } from "./errors.js";

/** What becomes of charges and holds while nobody answers: refused, or allowed and sent later. */
export type WhenAway = "refuse" | "allow";

/** A charge that was allowed while nobody answered. It is sent later, under its key. */
export interface QueuedCharge {
  queued: true;
  key: string;
  /** Null where the id of a hold is all that is known. */
  userId: string | null;
  serviceType: string | null;
  creditAmount: number | null;
  tokenCount: number | null;
}

/** The answer to a charge or settlement. A client with `whenAway: "refuse"` gives `Charge` only. */
export type Charged<Away extends WhenAway> = Charge | (Away extends "allow" ? QueuedCharge : never);

/** What became of one of many charges. */
export type ChargeOutcome<Away extends WhenAway> =
  | { ok: true; charge: Charged<Away> }
  | { ok: false; error: AllotmentError };

/** A charge, or the settlement of a hold, that was allowed and waits to be sent. */
export interface Queued {
  kind: "charge" | "settle" | "hold_settle" | "hold_release";
  /** The key of the charge or settlement. */
  key: string;
  /** Null where the id of a hold is all that is known. */
  userId: string | null;
  /** When it was allowed, in milliseconds since 1970. */
  queuedAt: number;
  /** How often it was tried since. */
  attempts: number;
  /** What is to be charged; null: the hold is to be released. */
  charge: ChargeFields | Cost | null;
  /** Of `settle`: the hold that the service has made. */
  holdId: string | null;
  /** Of `hold_settle` and `hold_release`: a hold whose answer was lost, and its key. */
  hold: (HoldFields & { key: string }) | null;
}

/** Something that was allowed, and was not charged. */
export interface Unsent {
  queued: Queued;
  /** Why: the refusal, or that nobody answered until `close()`, or for too long. */
  error: AllotmentError;
}

/** Something that was allowed, and was charged later. A hold that was released has no charge. */
export interface Sent {
  queued: Queued;
  charge: Charge | null;
}

export interface AwayOptions {
  /** How long a call tries before it is allowed. Default: 2,000 ms. */
  patienceMs?: number | undefined;
  /** How many may wait; one more is refused (`QueueFull`). Default: 10,000. */
  queueMax?: number | undefined;
  /** How long one may wait before it is reported as unsent. Default: 24 hours. */
  keepMs?: number | undefined;
  /** The first pause between tries to send; it doubles, up to 5 s. Default: 500 ms. */
  retryMs?: number | undefined;
  /** Told of each that could not be charged. Default: a line on `console.error`. */
  onUnsent?: ((unsent: Unsent) => void) | undefined;
  /** Told of each that was charged later. */
  onSent?: ((sent: Sent) => void) | undefined;
}

/** What `flush` and `close` have to say. */
export interface FlushReport {
  sent: number;
  unsent: Unsent[];
  /** How many still wait. After `close` none does: they are among `unsent`. */
  waiting: number;
}

export interface AllotmentOptions<Away extends WhenAway = "refuse"> {
  /** Where the service is: `https://credits.example`. */
  baseUrl: string;
  /** An API key, or a user's own token; a function is asked before each request. */
  apiKey: string | (() => string | Promise<string>);
  /** How long a call may take, repeats included. Default: 30,000 ms. */
  timeoutMs?: number | undefined;
  /** How long one attempt may take. Default: 12,000 ms: the service itself gives up after 10 s. */
  attemptTimeoutMs?: number | undefined;
  /** How often a call is repeated. Default: 8. */
  retries?: number | undefined;
  /** Default: `refuse`: a call that nobody answers throws. */
  whenAway?: Away | undefined;
  away?: AwayOptions | undefined;
  /**
   * Has the runtime wait for what the client writes: Cloudflare's `waitUntil` and its like. Runtimes
   * need it that end what a request has begun as soon as its answer has ended.
   */
  waitUntil?: ((work: Promise<void>) => void) | undefined;
  /** Default: the runtime's own. */
  fetch?: typeof fetch | undefined;
}
