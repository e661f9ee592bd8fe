/** The client: what an application asks of the service. */

import { Admin } from "./admin.js";
import { AwayQueue, chargeInstead, settlePath } from "./away.js";
import { chargeAll } from "./batches.js";
import { TryAgain } from "./errors.js";
import { follow } from "./events.js";
import { Hold, type HoldDesk } from "./hold.js";
import { Paged } from "./pages.js";
import { needed, segment } from "./serializing.js";
import { countOf } from "./tokens.js";
import { isUndecided, keyed, newKey, type Request, Transport } from "./transport.js";
import type {
  AddCreditsOptions,
  AllotmentOptions,
  CallOptions,
  Charge,
  Charged,
  ChargeOfMany,
  ChargeOptions,
  ChargeOutcome,
  Cost,
  CreditAddition,
  CreditStatus,
  EventRecord,
  EventsOptions,
  FlushReport,
  HoldFields,
  HoldingOptions,
  HoldOptions,
  MonthlyUsage,
  OpenHolds,
  PlacedHold,
  Queued,
  QueuedCharge,
  RecentUsage,
  ReleaseOptions,
  Reversal,
  ReverseOptions,
  StreamToken,
  UsageOptions,
  UsagePage,
  UsageRecord,
  UserSubscriptions,
  WhenAway,
  WriteOptions,
} from "./types.js";

/** How long a hold is in force unless told. */
const HOLD_SECONDS = 300;

/**
 * Allotment over HTTP. A method rejects with an `AllotmentError`, and with nothing else.
 *
 * What nobody answers is repeated under its key, up to `retries` times within `timeoutMs`;
 * `Retry-After` is honoured. It never charges twice.
 */
export class Allotment<Away extends WhenAway = "refuse"> implements HoldDesk<Away> {
  /** What operators do. */
  readonly admin: Admin;
  readonly whenAway: Away;
  readonly #transport: Transport;
  readonly #queue: AwayQueue;

  constructor(options: AllotmentOptions<Away>) {
    this.whenAway = options.whenAway ?? ("refuse" as Away);
    this.#transport = new Transport(options);
    this.#queue = new AwayQueue(this.#transport, options.away ?? {});
    this.admin = new Admin(this.#transport);
  }

  /** What a user has today. */
  async status(userId: string, options: CallOptions = {}): Promise<CreditStatus> {
    return this.#transport.read("/subscription/status", whose(userId), options);
  }

  /** Add credits over days, or a pack. A payment's transaction counts once a user. */
  addCredits(userId: string, options: AddCreditsOptions): Promise<CreditAddition> {
    const write = { ...options, userId };
    return this.#transport.write("POST", "/subscription/credits", write);
  }

  /** Charge credits: today's first, then packs'. Throws `InsufficientCredits`. */
  async charge(userId: string, options: ChargeOptions): Promise<Charged<Away>> {
    const { key = newKey(), signal, timeoutMs, ...charge } = options;
    const request = keyed("POST", "/subscription/usage", { ...charge, userId }, key);
    const queued = waiting({ kind: "charge", key, userId, charge });
    return this.#chargeOrQueue(request, { signal, timeoutMs }, queued, charge.serviceType);
  }

  /**
   * Charge many, each on its own: what became of each, in order, whatever it is. Any number: they
   * are sent in batches.
   */
  async chargeMany(
    charges: readonly ChargeOfMany[],
    options: WriteOptions = {},
  ): Promise<ChargeOutcome<Away>[]> {
    const asks = !this.#allowsAtOnce(null);
    const outcomes = await chargeAll(this.#transport, charges, { ...this.#patient(options), asks });
    return outcomes.map((outcome, place): ChargeOutcome<Away> => {
      const { error } = outcome.result;
      if (error === undefined) return { ok: true, charge: outcome.result.charge };
      const { userId = "", idempotencyKey: _, ...charge } = charges[place] ?? ({} as ChargeOfMany);
      if (this.whenAway === "refuse" || !isUndecided(error)) return { ok: false, error };
      const queued = waiting({ kind: "charge", key: outcome.key, userId, charge });
      try {
        return { ok: true, charge: this.#enqueue(queued, charge.serviceType, error) };
      } catch (full) {
        return { ok: false, error: full as TryAgain };
      }
    });
  }

  /** Set credits aside. Throws `InsufficientCredits`. */
  async hold(userId: string, options: HoldOptions): Promise<Hold<Away>> {
    const { key = newKey(), signal, timeoutMs, ...fields } = options;
    const request = keyed("POST", "/subscription/holds", { ...fields, userId }, key);
    const facts = { key, userId, fields, creditAmount: fields.creditAmount };
    let asked = false;
    if (!this.#allowsAtOnce(userId)) {
      try {
        asked = true;
        const answer = await this.#transport.send(request, this.#patient({ signal, timeoutMs }));
        return new Hold<Away>(this, { ...facts, ...(answer as PlacedHold), asked });
      } catch (error) {
        if (this.whenAway === "refuse" || !isUndecided(error)) throw error;
        this.#queue.noteAway(error);
      }
    }
    this.#queue.checkRoom(key);
    const expiresAt = new Date(Date.now() + (fields.expiresIn ?? HOLD_SECONDS) * 1_000);
    const allowed = { holdId: null, remainingCredits: null, expiresAt: expiresAt.toISOString() };
    return new Hold<Away>(this, { ...facts, ...allowed, asked });
  }

  /** Charge what it cost to what a hold has set aside, and as far as it can be beyond. */
  async settle(hold: Hold<Away> | string, cost: Cost & WriteOptions): Promise<Charged<Away>> {
    const { key, signal, timeoutMs, ...fields } = cost;
    const options = { key, signal, timeoutMs };
    if (hold instanceof Hold) return hold.settle(fields, options);
    return this.#settle(hold, null, fields, options);
  }

  /** Give back what a hold has set aside. */
  async release(hold: Hold<Away> | string, options: ReleaseOptions = {}): Promise<void> {
    if (hold instanceof Hold) return hold.release(options);
    await this.#transport.write("DELETE", `/subscription/holds/${segment(hold)}`, options);
  }

  /**
   * Hold credits, do the work, settle what it reported with `hold.report`. Where the work throws,
   * or reports nothing, the hold is released. Gives what the work gives, throws what it throws.
   */
  async holding<Result>(
    userId: string,
    options: HoldingOptions,
    work: (hold: Hold<Away>) => Promise<Result> | Result,
  ): Promise<Result> {
    const { onError = "release", ...fields } = options;
    const hold = await this.hold(userId, fields);
    let result: Result;
    try {
      result = await work(hold);
    } catch (error) {
      await this.#afterFailure(hold, onError);
      throw error;
    }
    // Whatever ended the work does not end its settlement.
    await hold.finish();
    return result;
  }

  /** A user's open holds. */
  async holds(userId: string, options: CallOptions = {}): Promise<OpenHolds> {
    return this.#transport.read("/subscription/holds", whose(userId), options);
  }

  /** Give a charge back, or a part of it. */
  async reverse(usageId: string, options: ReverseOptions): Promise<Reversal> {
    const path = `/subscription/usage/${segment(usageId)}/reversals`;
    return this.#transport.write("POST", path, options);
  }

  /** Usage records, newest first: iterate them, or their `pages()`. */
  usage(userId: string, options: UsageOptions = {}): Paged<UsageRecord, UsagePage> {
    const { cursor, signal, timeoutMs, ...query } = options;
    return new Paged(async (at) => {
      const asked = { ...whose(userId), ...query, cursor: at };
      return this.#transport.read("/subscription/usage", asked, { signal, timeoutMs });
    }, cursor);
  }

  /** The sums of a month, `YYYY-MM`, of the user's time zone. */
  async month(userId: string, month: string, options: CallOptions = {}): Promise<MonthlyUsage> {
    const query = { ...whose(userId), month: needed("month", month) };
    return this.#transport.read("/subscription/usage/monthly", query, options);
  }

  /** The sums of the last days, 30 unless told, of the user's time zone; today is among them. */
  async recent(userId: string, days?: number, options: CallOptions = {}): Promise<RecentUsage> {
    return this.#transport.read("/subscription/usage/recent", { ...whose(userId), days }, options);
  }

  /** All subscriptions and packs of a user. */
  async subscriptions(userId: string, options: CallOptions = {}): Promise<UserSubscriptions> {
    return this.#transport.read(`/subscriptions/${segment(userId)}`, {}, options);
  }

  /** Events as they come, each user's in order; it resumes by itself where the stream ends. */
  events(options: EventsOptions = {}): AsyncGenerator<EventRecord, void, undefined> {
    return follow(this.#transport, options);
  }

  /**
   * A token with which a browser's `EventSource` follows one user's events, for 15 minutes at most.
   * It begins within a minute (`/events?token=…`), and opens nothing else. `userId` may be left out
   * where this client shows a user's own token.
   */
  streamToken(userId?: string, options: CallOptions = {}): Promise<StreamToken> {
    return this.#transport.act("/events/token", { userId }, options, { repeatable: true });
  }

  /** Whether every part of the service answers. */
  async ready(options: CallOptions = {}): Promise<boolean> {
    try {
      const request = { method: "GET", path: "/readyz", repeatable: false };
      await this.#transport.send(request, options);
      return true;
    } catch (error) {
      if (error instanceof TryAgain) return false;
      throw error;
    }
  }

  /** What was allowed and waits to be sent. */
  get waiting(): Queued[] {
    return this.#queue.waiting;
  }

  /** Send what waits, now. It resolves when each was sent, was refused, or nobody answers. */
  flush(options: CallOptions = {}): Promise<FlushReport> {
    return this.#queue.flush(options.timeoutMs ?? this.#transport.timeoutMs, options.signal);
  }

  /** Send what waits for as long as `timeoutMs`, report the rest as unsent, and allow no more. */
  close(options: CallOptions = {}): Promise<FlushReport> {
    return this.#queue.close(options.timeoutMs ?? this.#transport.timeoutMs, options.signal);
  }

  /** @internal What `Hold.settle` does. */
  async settleHold(hold: Hold<Away>, cost: Cost, options: WriteOptions): Promise<Charged<Away>> {
    const service = hold.fields.serviceType ?? "hold";
    if (hold.holdId !== null) return this.#settle(hold.holdId, hold, cost, options);
    const { key = newKey() } = options;
    return this.#enqueue(allowed(hold, cost, key), service);
  }

  /** @internal What `Hold.release` does. */
  async releaseHold(hold: Hold<Away>, options: ReleaseOptions): Promise<void> {
    const { key = newKey() } = options;
    if (hold.holdId === null) {
      if (hold.asked) this.#queue.add(allowed(hold, null, key));
      return;
    }
    try {
      // What is no option of the call would be its body.
      await this.release(hold.holdId, { ...options, key, timeoutMs: this.#patient(options).timeoutMs });
    } catch (error) {
      // It expires by itself.
      if (this.whenAway === "refuse" || !isUndecided(error)) throw error;
    }
  }

  async #settle(
    holdId: string,
    hold: Hold<Away> | null,
    charge: Cost,
    { key = newKey(), ...options }: WriteOptions,
  ): Promise<Charged<Away>> {
    const request = keyed("POST", settlePath(holdId), charge, key);
    const userId = hold?.userId ?? null;
    const queued = waiting({ kind: "settle", key, userId, charge, holdId });
    const service = hold ? (hold.fields.serviceType ?? "hold") : null;
    return this.#chargeOrQueue(request, options, queued, service);
  }

  async #afterFailure(hold: Hold<Away>, onError: "release" | "settle"): Promise<void> {
    if (onError === "release") return hold.abandon();
    try {
      await hold.finish();
    } catch (error) {
      console.error("allotment: what was used could not be settled", error);
    }
  }

  async #chargeOrQueue(
    request: Request,
    options: CallOptions,
    queued: Queued,
    serviceType: string | null,
  ): Promise<Charged<Away>> {
    if (this.#allowsAtOnce(queued.userId)) return this.#enqueue(queued, serviceType);
    try {
      return (await this.#transport.send(request, this.#patient(options))) as Charge;
    } catch (error) {
      if (this.whenAway === "refuse" || !isUndecided(error)) throw error;
      return this.#enqueue(queued, serviceType, error);
    }
  }

  #enqueue(queued: Queued, serviceType: string | null, because?: TryAgain): Charged<Away> {
    this.#queue.add(queued, because);
    const { key, userId, charge } = queued;
    const answer: QueuedCharge = {
      queued: true,
      key,
      userId,
      serviceType,
      creditAmount: charge?.creditAmount ?? null,
      tokenCount: (charge && countOf(charge)) ?? null,
    };
    return answer as Charged<Away>;
  }

  /** Nobody answered the last time, or not for this user, and nobody need be asked. */
  #allowsAtOnce(userId: string | null): boolean {
    return this.whenAway === "allow" && this.#queue.isAwayFor(userId);
  }

  /** Who may allow what nobody answers does not wait for it as long as others. */
  #patient<Options extends CallOptions>(options: Options): Options & { retries?: number } {
    if (this.whenAway === "refuse") return options;
    const { timeoutMs, ...tries } = this.#queue.patience;
    return { ...options, ...tries, timeoutMs: Math.min(options.timeoutMs ?? timeoutMs, timeoutMs) };
  }
}

function whose(userId: string): { user_id: string } {
  return { user_id: needed("user_id", userId) };
}

/** Return what is to be sent later. */
function waiting(facts: Pick<Queued, "kind" | "key" | "userId" | "charge"> & Partial<Queued>): Queued {
  return { holdId: null, hold: null, queuedAt: Date.now(), attempts: 0, ...facts };
}

/** Return what becomes of a hold that was allowed: of one that nobody was asked for, a charge. */
function allowed<Away extends WhenAway>(hold: Hold<Away>, cost: Cost | null, key: string): Queued {
  const { userId } = hold;
  if (!hold.asked && cost !== null) {
    return waiting({ kind: "charge", key, userId, charge: chargeInstead(hold.fields, cost) });
  }
  const fields: HoldFields & { key: string } = { ...hold.fields, key: hold.key };
  const kind = cost === null ? "hold_release" : "hold_settle";
  return waiting({ kind, key, userId, charge: cost, hold: fields });
}
