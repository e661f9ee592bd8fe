/** A hold in hand: report what it cost, settle it, or give it back. */

import { HoldClosed, invalid } from "./errors.js";
import type { Charged, Cost, HoldFields, ReleaseOptions, WhenAway, WriteOptions } from "./types.js";

/** What a hold needs of its client. */
export interface HoldDesk<Away extends WhenAway> {
  settleHold(hold: Hold<Away>, cost: Cost, options: WriteOptions): Promise<Charged<Away>>;
  releaseHold(hold: Hold<Away>, options: ReleaseOptions): Promise<void>;
}

/** What is known of a hold when it is made. */
export interface HoldFacts {
  /** The id that the service gave it; null: nobody answered, and it was allowed. */
  holdId: string | null;
  /** The key it was placed under. */
  key: string;
  userId: string;
  creditAmount: number;
  expiresAt: string;
  remainingCredits: number | null;
  /** What was asked for. */
  fields: HoldFields;
  /** Whether the service was asked for it: it may have made the hold, its answer or not. */
  asked: boolean;
}

/**
 * Credits that were set aside. Resolve it with `settle` or `release`; else it expires. It has one
 * end: who would end it while another does waits for what becomes of that.
 */
export class Hold<Away extends WhenAway = WhenAway> {
  /** The id that the service gave it; null: nobody answered, and it was allowed. */
  readonly holdId: string | null;
  readonly key: string;
  readonly userId: string;
  /** How much was set aside; with `atLeast` it may be less than was asked for. */
  readonly creditAmount: number;
  /** ISO 8601, in UTC. */
  readonly expiresAt: string;
  /** What is left beside it; null where nobody answered. */
  readonly remainingCredits: number | null;
  /** What was asked for. */
  readonly fields: Readonly<HoldFields>;
  /** @internal Whether the service was asked for it, and may have made it. */
  readonly asked: boolean;
  readonly #desk: HoldDesk<Away>;
  #cost: Cost | undefined;
  #charge: Charged<Away> | undefined;
  #state: "open" | "settled" | "released" = "open";
  /** Resolves once no end of it is under way. */
  #ending: Promise<void> = Promise.resolve();

  constructor(desk: HoldDesk<Away>, facts: HoldFacts) {
    this.#desk = desk;
    this.holdId = facts.holdId;
    this.key = facts.key;
    this.userId = facts.userId;
    this.creditAmount = facts.creditAmount;
    this.expiresAt = facts.expiresAt;
    this.remainingCredits = facts.remainingCredits;
    this.fields = facts.fields;
    this.asked = facts.asked;
  }

  /** Nobody answered, and it was allowed: what is settled waits in the client's queue. */
  get queued(): boolean {
    return this.holdId === null;
  }

  /** Whether it was settled or released through this object. */
  get state(): "open" | "settled" | "released" {
    return this.#state;
  }

  /** The last report; undefined: nothing was reported. */
  get cost(): Cost | undefined {
    return this.#cost;
  }

  /** The charge, once it is settled. */
  get charge(): Charged<Away> | undefined {
    return this.#charge;
  }

  /** Say what it cost, as far as is known. The last report counts. Nothing is sent yet. */
  report(cost: Cost): void {
    this.#cost = cost;
  }

  /**
   * Charge a cost, or else the last report. What is left is free again. Rejects with HoldClosed
   * where it has ended.
   */
  async settle(cost?: Cost, options: WriteOptions = {}): Promise<Charged<Away>> {
    const told = cost ?? this.#cost;
    if (told === undefined) throw invalid("cost", "nothing was reported");
    this.#cost = told;
    return this.#inTurn(async () => {
      this.#checkOpen(options.key);
      this.#charge = await this.#desk.settleHold(this, told, options);
      this.#state = "settled";
      return this.#charge;
    });
  }

  /** Give back what it has set aside. */
  async release(options: ReleaseOptions = {}): Promise<void> {
    return this.#inTurn(async () => {
      this.#checkOpen(options.key);
      await this.#desk.releaseHold(this, options);
      this.#state = "released";
    });
  }

  /**
   * Settle what was reported, else release. What middleware does at the end of a request. A failure
   * to release is nobody's concern: the hold expires by itself.
   */
  async finish(options: WriteOptions = {}): Promise<Charged<Away> | undefined> {
    await this.idle();
    if (this.#state !== "open") return this.#charge;
    if (this.#cost !== undefined) return this.settle(undefined, options);
    await this.abandon(options);
    return undefined;
  }

  /** Release it, and let it expire by itself where that fails. */
  async abandon(options: WriteOptions = {}): Promise<void> {
    await this.idle();
    if (this.#state !== "open") return;
    try {
      await this.release(options);
    } catch {
      // It expires by itself.
    }
  }

  /** @internal Wait until no end of it is under way: `state` says then what became of it. */
  async idle(): Promise<void> {
    let seen: Promise<void> | undefined;
    while (seen !== this.#ending) {
      seen = this.#ending;
      await seen;
    }
  }

  /** End it, unless that is under way: then once it has come to nothing. */
  #inTurn<Result>(end: () => Promise<Result>): Promise<Result> {
    const result = this.#ending.then(end);
    const over = () => undefined;
    this.#ending = result.then(over, over);
    return result;
  }

  /** A hold that nobody made is known here alone: the service would take a second end of it. */
  #checkOpen(key: string | undefined): void {
    if (this.#state === "open" || this.holdId !== null) return;
    throw new HoldClosed("hold_closed", `The hold is ${this.#state}`, { key });
  }
}
