/** What was allowed while nobody answered: kept in order, under its keys, and sent later. */

import {
  Aborted,
  type AllotmentError,
  Forbidden,
  HoldClosed,
  InternalError,
  QueueFull,
  RateLimited,
  ServiceAway,
  TryAgain,
  Unauthorized,
  UnexpectedAnswer,
} from "./errors.js";
import { tell } from "./listeners.js";
import { segment } from "./serializing.js";
import { Limit, pause } from "./timing.js";
import { keyed, type Transport } from "./transport.js";
import type {
  AwayOptions,
  Charge,
  ChargeFields,
  Cost,
  FlushReport,
  HoldFields,
  PlacedHold,
  Queued,
  Sent,
  Unsent,
} from "./types.js";

/** How long a call tries before it is allowed. */
export const PATIENCE_MS = 2_000;
/** How many may wait. */
export const QUEUE_MAX = 10_000;
/** How long one may wait: keys live 30 days, late settlements of holds one. */
export const KEEP_MS = 24 * 3_600_000;
/** The first pause between tries to send, and the longest. */
export const RETRY_MS = 500;
export const RETRY_MS_MAX = 5_000;
/** From so many users on for whom the service cannot decide nobody else's call tries twice. */
export const OUTAGE_USERS = 3;
/** How many are sent at once. */
export const SENT_TOGETHER = 8;

/** What became of one try to send everything. */
interface Pass {
  sent: number;
  unsent: Unsent[];
  /** Nothing more can be sent in it. */
  isOver: boolean;
  /** Something of it is to be sent again. */
  hasFailed: boolean;
  /** Users whose charges have to wait: the service answers, and not for them. */
  readonly later: Set<string | null>;
  /** How long the service wants to be left alone. */
  waitMs: number;
}

/** What speaks of whoever asks, or of whoever answers, and says nothing of a charge: it waits. */
const SAYS_NOTHING = [ServiceAway, RateLimited, Unauthorized, Forbidden, UnexpectedAnswer, Aborted];

export class AwayQueue {
  readonly #patienceMs: number;
  readonly #transport: Transport;
  readonly #queueMax: number;
  readonly #keepMs: number;
  readonly #retryMs: number;
  readonly #onUnsent: (unsent: Unsent) => void;
  readonly #onSent: (sent: Sent) => void;
  readonly #waiting = new Set<Queued>();
  /** Users of whom something waits, and for whom the service said to try again. */
  readonly #awayFor = new Set<string>();
  #away = false;
  #closed = false;
  #following = false;
  /** Ends the pause of whoever follows. */
  #pausing = new AbortController();
  #pass: Promise<Pass> | undefined;
  /** Ends the pass that is under way. */
  #passing: Limit | undefined;

  constructor(transport: Transport, options: AwayOptions) {
    this.#transport = transport;
    this.#patienceMs = options.patienceMs ?? PATIENCE_MS;
    this.#queueMax = options.queueMax ?? QUEUE_MAX;
    this.#keepMs = options.keepMs ?? KEEP_MS;
    this.#retryMs = options.retryMs ?? RETRY_MS;
    this.#onUnsent = options.onUnsent ?? logged;
    this.#onSent = options.onSent ?? (() => undefined);
  }

  /**
   * Nobody answered the last time, or not for this user: calls need not ask until something of it
   * was sent.
   */
  isAwayFor(userId: string | null): boolean {
    return (this.#away && this.#waiting.size > 0) || (userId !== null && this.#awayFor.has(userId));
  }

  /** Return how a call of somebody else tries before it is allowed: others may have tried enough. */
  get patience(): { timeoutMs: number; retries?: number } {
    const once = this.#awayFor.size >= OUTAGE_USERS ? { retries: 0 } : {};
    return { timeoutMs: this.#patienceMs, ...once };
  }

  get waiting(): Queued[] {
    return [...this.#waiting];
  }

  /** Keep one, and send it as soon as somebody answers. Throws QueueFull. */
  add(queued: Queued, because?: TryAgain): void {
    this.checkRoom(queued.key, because);
    if (because) this.noteAway(because);
    this.#waiting.add(queued);
    if (isOfUser(because) && queued.userId !== null) this.#awayFor.add(queued.userId);
    if (!this.#following) this.#transport.keep(this.#follow());
  }

  /** Throws QueueFull: what is allowed now could not be kept. */
  checkRoom(key: string, because?: TryAgain): void {
    if (!this.#closed && this.#waiting.size < this.#queueMax) return;
    const why = this.#closed ? "the client is closed" : `${this.#queueMax} calls wait already`;
    const message = `The service does not answer, and ${why}`;
    throw new QueueFull("queue_full", message, { key, cause: because });
  }

  /** A call has failed so. */
  noteAway(error: TryAgain): void {
    this.#away ||= error instanceof ServiceAway;
  }

  /** Send what waits, now. */
  async flush(timeoutMs: number, signal?: AbortSignal): Promise<FlushReport> {
    const limit = new Limit(timeoutMs, signal);
    await this.#passOver(limit.signal);
    const { sent, unsent } = await this.#sendAll(timeoutMs, limit.signal);
    limit.clear();
    return { sent, unsent, waiting: this.#waiting.size };
  }

  /** Send what waits for so long; report what is left then. */
  async close(timeoutMs: number, signal?: AbortSignal): Promise<FlushReport> {
    this.#closed = true;
    this.#pausing.abort();
    const limit = new Limit(timeoutMs, signal);
    const report: FlushReport = { sent: 0, unsent: [], waiting: 0 };
    await this.#passOver(limit.signal);
    while (this.#waiting.size > 0 && !limit.signal.aborted) {
      const pass = await this.#sendAll(timeoutMs, limit.signal);
      report.sent += pass.sent;
      report.unsent.push(...pass.unsent);
      const wait = Math.max(this.#retryMs, pass.waitMs);
      if (this.#waiting.size > 0) await pause(wait, limit.signal).catch(() => undefined);
    }
    limit.clear();
    const error = new ServiceAway("service_away", "Nobody answered before the client was closed");
    for (const queued of this.#waiting) report.unsent.push(this.#giveUp(queued, error));
    return report;
  }

  /** Try to send, again and again, until nothing waits. */
  async #follow(): Promise<void> {
    this.#following = true;
    let wait = this.#retryMs;
    while (this.#waiting.size > 0) {
      this.#pausing = new AbortController();
      await pause(wait, this.#pausing.signal).catch(() => undefined);
      if (this.#closed) break;
      const pass = await this.#sendAll(this.#transport.timeoutMs);
      wait = pass.hasFailed ? Math.min(wait * 2, RETRY_MS_MAX) : this.#retryMs;
      wait = Math.max(wait, pass.waitMs);
    }
    this.#following = false;
  }

  /** Wait until no pass is under way; it is ended where the signal says so. */
  async #passOver(signal: AbortSignal): Promise<void> {
    const end = () => this.#passing?.end();
    if (signal.aborted) end();
    signal.addEventListener("abort", end, { once: true });
    await this.#pass;
    signal.removeEventListener("abort", end);
  }

  /** Send all that waits, once; whoever asks meanwhile waits for the same. */
  #sendAll(timeoutMs: number, signal?: AbortSignal): Promise<Pass> {
    this.#pass ??= this.#sendOnce(timeoutMs, signal).finally(() => {
      this.#pass = undefined;
    });
    return this.#pass;
  }

  async #sendOnce(timeoutMs: number, signal?: AbortSignal): Promise<Pass> {
    const pass: Pass = { sent: 0, unsent: [], isOver: false, hasFailed: false, later: new Set(), waitMs: 0 };
    const limit = new Limit(timeoutMs, signal);
    this.#passing = limit;
    const all = this.waiting;
    const next = async () => {
      for (let queued = all.shift(); queued && !pass.isOver; queued = all.shift()) {
        if (!pass.later.has(queued.userId)) await this.#sendOne(queued, pass, limit.signal);
      }
    };
    // The first one finds out whether anybody answers.
    const first = all.shift();
    if (first) await this.#sendOne(first, pass, limit.signal);
    await Promise.all(Array.from({ length: SENT_TOGETHER }, next));
    limit.clear();
    this.#giveUpOld(pass);
    return pass;
  }

  async #sendOne(queued: Queued, pass: Pass, signal: AbortSignal): Promise<void> {
    queued.attempts += 1;
    try {
      const charge = await deliver(this.#transport, queued, signal);
      this.#away = false;
      this.#remove(queued);
      pass.sent += 1;
      tell(this.#onSent, { queued, charge });
    } catch (error) {
      this.#failed(queued, error as AllotmentError, pass);
    }
  }

  #failed(queued: Queued, error: AllotmentError, pass: Pass): void {
    const isSilent = saysNothing(error);
    if (!isSilent) this.#away = false; // It answers, and others may pass.
    if (!isSilent && !(error instanceof TryAgain)) {
      pass.unsent.push(this.#giveUp(queued, error));
      return;
    }
    this.#away ||= error instanceof ServiceAway;
    pass.isOver ||= isSilent;
    pass.hasFailed = true;
    pass.waitMs = Math.max(pass.waitMs, error.retryAfterMs ?? 0);
    if (isOfUser(error)) pass.later.add(queued.userId);
  }

  #giveUpOld(pass: Pass): void {
    const hours = this.#keepMs / 3_600_000;
    const error = new ServiceAway("service_away", `Nobody answered within ${hours} hours`);
    for (const queued of this.#waiting) {
      if (Date.now() - queued.queuedAt > this.#keepMs) pass.unsent.push(this.#giveUp(queued, error));
    }
  }

  #remove(queued: Queued): void {
    this.#waiting.delete(queued);
    if (queued.userId !== null) this.#awayFor.delete(queued.userId); // Its next call asks again.
    if (this.#waiting.size === 0) this.#pausing.abort(); // No program need wait for its end.
  }

  #giveUp(queued: Queued, error: AllotmentError): Unsent {
    this.#remove(queued);
    const unsent = { queued, error };
    tell(this.#onUnsent, unsent);
    return unsent;
  }
}

function saysNothing(error: unknown): boolean {
  return SAYS_NOTHING.some((kind) => error instanceof kind);
}

/** Whether the service answered, and for this user not yet: others' calls may pass. */
function isOfUser(error: unknown): boolean {
  return error instanceof TryAgain && !saysNothing(error) && !(error instanceof InternalError);
}

/**
 * Send one, once: it is the queue that repeats. The same bodies under the same keys each time:
 * whatever was lost, it counts once.
 */
async function deliver(
  transport: Transport,
  queued: Queued,
  signal: AbortSignal,
): Promise<Charge | null> {
  const { userId, key, charge } = queued;
  const post = async (path: string, fields: object, key: string) =>
    transport.send(keyed("POST", path, fields, key), { signal, retries: 0 });
  switch (queued.kind) {
    case "charge":
      return (await post("/subscription/usage", { userId, ...charge }, key)) as Charge;
    case "settle":
      return (await post(settlePath(queued.holdId ?? ""), charge ?? {}, key)) as Charge;
    default: {
      // The answer to the hold was lost. Asked again, the service says which one it made.
      const { key: holdKey, ...fields } = queued.hold as HoldFields & { key: string };
      const holdId = await placed(post("/subscription/holds", { userId, ...fields }, holdKey));
      if (charge === null) {
        if (holdId !== null) await released(transport, holdId, key, signal);
        return null;
      }
      if (holdId !== null) return (await post(settlePath(holdId), charge, key)) as Charge;
      const instead = { userId, ...chargeInstead(fields, charge) };
      return (await post("/subscription/usage", instead, key)) as Charge;
    }
  }
}

export function settlePath(holdId: string): string {
  return `/subscription/holds/${segment(holdId)}/settle`;
}

/** Return what is charged where a hold could not be made, and the work was done all the same. */
export function chargeInstead(hold: HoldFields, cost: Cost): ChargeFields {
  return {
    serviceType: hold.serviceType ?? "hold",
    creditAmount: cost.creditAmount,
    tokenCount: cost.tokenCount ?? (cost.tokens === undefined ? hold.tokenCount : undefined),
    tokens: cost.tokens,
    modelUsed: cost.modelUsed ?? hold.modelUsed,
    sessionId: hold.sessionId,
    details: cost.details ?? hold.details,
    timestamp: hold.timestamp,
    onInsufficient: cost.onInsufficient ?? "cap",
  };
}

async function placed(asked: Promise<unknown>): Promise<string | null> {
  try {
    return ((await asked) as PlacedHold).holdId;
  } catch (error) {
    if (saysNothing(error) || error instanceof TryAgain) throw error;
    return null;
  }
}

async function released(
  transport: Transport,
  holdId: string,
  key: string,
  signal: AbortSignal,
): Promise<void> {
  try {
    const path = `/subscription/holds/${segment(holdId)}`;
    await transport.send(keyed("DELETE", path, {}, key), { signal, retries: 0 });
  } catch (error) {
    if (!(error instanceof HoldClosed)) throw error; // It has expired.
  }
}

function logged({ queued, error }: Unsent): void {
  const whose = `user ${queued.userId ?? "unknown"}, key ${queued.key}`;
  console.error(`allotment: allowed, and not charged: ${whose}: ${error.message}`);
}
