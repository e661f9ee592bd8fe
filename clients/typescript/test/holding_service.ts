/** A service in memory that knows holds, for tests of what stands in front of it. */

import { type AllotmentError, InsufficientCredits } from "../src/errors.js";
import { countOf } from "../src/tokens.js";
import type { GateClient } from "../src/gate.js";
import { Hold, type HoldDesk } from "../src/hold.js";
import type { Charge, Cost, CreditStatus, HoldOptions } from "../src/types.js";

const DAY = "2026-03-01T00:00:00Z";
const AS_OF = "2026-03-01T18:00:00Z";
const MIDNIGHT = "2026-03-02T00:00:00Z";

export class HoldingService implements GateClient, HoldDesk<"refuse"> {
  /** What was asked of it, in order: `hold ada 20`, `settle 12`, `release`. */
  readonly told: string[] = [];
  readonly costs: Cost[] = [];
  readonly holds: HoldOptions[] = [];
  remaining: number;
  /** What the next hold is answered. */
  refusal: Error | undefined;
  /** What the next settlement is answered. */
  settleRefusal: AllotmentError | undefined;
  /** Settlements wait for it. */
  gate: Promise<void> = Promise.resolve();
  #waiting: { done: () => boolean; resolve: () => void }[] = [];

  constructor(remaining = 90) {
    this.remaining = remaining;
  }

  async status(userId: string): Promise<CreditStatus> {
    return {
      userId,
      dailyCreditLimit: 90,
      creditsRolledOver: 10,
      packCredits: 0,
      remainingCredits: this.remaining,
      date: DAY,
      asOf: AS_OF,
      resetsAt: MIDNIGHT,
    } as CreditStatus;
  }

  async hold(userId: string, options: HoldOptions): Promise<Hold<"refuse">> {
    this.#tell(`hold ${userId} ${options.creditAmount}`);
    this.holds.push(options);
    if (this.refusal) throw this.refusal;
    if (options.creditAmount > this.remaining) throw tooLittle(options.creditAmount, this.remaining);
    this.remaining -= options.creditAmount;
    return new Hold<"refuse">(this, {
      holdId: `h-${this.holds.length}`,
      key: `k-${this.holds.length}`,
      userId,
      creditAmount: options.creditAmount,
      expiresAt: MIDNIGHT,
      remainingCredits: this.remaining,
      fields: options,
      asked: true,
    });
  }

  async settleHold(hold: Hold<"refuse">, cost: Cost): Promise<Charge> {
    await this.gate;
    if (this.settleRefusal) throw this.settleRefusal;
    const amount = cost.creditAmount ?? countOf(cost) ?? 0;
    this.remaining += hold.creditAmount - amount;
    this.costs.push(cost);
    this.#tell(`settle ${amount}`);
    return { creditAmount: amount, remainingCredits: this.remaining } as Charge;
  }

  async releaseHold(hold: Hold<"refuse">): Promise<void> {
    this.remaining += hold.creditAmount;
    this.#tell("release");
  }

  /** Wait until it was told so many things. */
  async toldSoMuch(count: number): Promise<void> {
    const done = () => this.told.length >= count;
    if (!done()) await new Promise<void>((resolve) => this.#waiting.push({ done, resolve }));
  }

  #tell(what: string): void {
    this.told.push(what);
    for (const { done, resolve } of this.#waiting) if (done()) resolve();
  }
}

export function tooLittle(required: number, remaining: number): InsufficientCredits {
  return new InsufficientCredits("insufficient_credits", "The remaining credits do not cover it", {
    problem: {
      type: "about:blank",
      title: "The remaining credits do not cover the charge",
      status: 402,
      detail: "The remaining credits do not cover it",
      code: "insufficient_credits",
      limit: "daily",
      remaining_credits: remaining,
      required_credits: required,
      available_at: MIDNIGHT,
    },
    retryAfterMs: 21_600_000,
  });
}
