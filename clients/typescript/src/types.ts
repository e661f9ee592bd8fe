/** What calls take and give: the types of the service's document, in camelCase. */

import type { Camel } from "./casing.js";
import type { AllotmentError } from "./errors.js";
import type { components } from "./openapi.js";
import type { Tokens } from "./tokens.js";

type Schemas = components["schemas"];

// What the service answers. Times are ISO 8601 in UTC, as the service wrote them; every amount is
// a whole number that JavaScript has exactly.

/** What a user has today. */
export type CreditStatus = Camel<Schemas["CreditStatusResponse"]>;
/** Credits that were added, and the status after it. */
export type CreditAddition = Camel<Schemas["CreditAdditionResponse"]>;
/** One charge, and the day it was charged to. */
export type Charge = Camel<Schemas["UsageRecordResponse"]>;
/** Where credits came from. */
export type Source = Charge["sources"][number];
/** Credits that were set aside. */
export type PlacedHold = Camel<Schemas["HoldResponse"]>;
export type OpenHolds = Camel<Schemas["OpenHolds"]>;
export type Reversal = Camel<Schemas["ReversalResponse"]>;
export type Adjustment = Camel<Schemas["AdjustmentResponse"]>;
/** One charge as a list shows it. */
export type UsageRecord = Camel<Schemas["UsageRecord"]>;
export type UsagePage = Camel<Schemas["UsagePage"]>;
export type MonthlyUsage = Camel<Schemas["MonthlyUsage"]>;
export type UserSubscriptions = Camel<Schemas["UserSubscriptions"]>;
export type Subscription = Camel<Schemas["SubscriptionRecord"]>;
export type Pack = Camel<Schemas["PackRecord"]>;
export type HistoryEntry = Camel<Schemas["HistoryEntry"]>;
export type ShardReport = Camel<Schemas["ShardReport"]>;
export type SyncReport = Camel<Schemas["SyncReport"]>;
export type RereadReport = Camel<Schemas["RereadReport"]>;
export type SweepReport = Camel<Schemas["SweepReport"]>;
export type EventsReport = Camel<Schemas["EventsReport"]>;
export type Redelivery = Camel<Schemas["Redelivery"]>;
export type ReshardReport = Camel<Schemas["ReshardReport"]>;
export type AnonymizationReport = Camel<Schemas["AnonymizationReport"]>;
/** A token for one user's event stream, shown once. */
export type StreamToken = Camel<Schemas["StreamTokenResponse"]>;
export type StripeProgress = Camel<Schemas["ReconcileProgress"]>;
export type Key = Camel<Schemas["KeyRecord"]>;
/** A key that was made just now, with its secret in `key`: it is shown this once. */
export type MadeKey = Camel<Schemas["MadeKey"]>;
/** Who asked for an administrative act, when, and what became of it. */
export type Act = Camel<Schemas["ActRecord"]>;
/** A request that was refused under an idempotency key. */
export type RefusedRequest = Camel<Schemas["RefusalRecord"]>;
/** The prices in force, in the order in which they are tried. */
export type PriceList = Camel<Schemas["PriceListRecord"]>;
export type TestClock = Camel<Schemas["TestClockReport"]>;
export type SubscriptionStatus = CreditStatus["status"];

/** What the world is told: the types of `EventRecord["type"]`. */
export const EVENT_TYPES = [
  "subscription.changed",
  "subscription.renewed",
  "subscription.expired",
  "subscription.low_credits",
  "usage.spike",
  "credits.depleted",
  "pack.expired",
  "usage.reversed",
  "credits.adjusted",
] as const;
export type EventType = (typeof EVENT_TYPES)[number];

/** An event, the same at each delivery. `data` is spelled as on the wire. */
export interface EventRecord {
  id: string;
  type: EventType;
  created: string;
  userId: string;
  subscriptionId: string | null;
  data: Record<string, unknown>;
}

// What calls take.

/** What every call takes. */
export interface CallOptions {
  /** Ends the call with `Aborted`. */
  signal?: AbortSignal | undefined;
  /** How long the call may take, repeats included. Default: the client's. */
  timeoutMs?: number | undefined;
}

/** What every write takes. */
export interface WriteOptions extends CallOptions {
  /**
   * The idempotency key: 1 to 255 printable ASCII characters. Default: a random one, made once a
   * call and kept over its repeats. Give the key of an error to repeat its call.
   */
  key?: string | undefined;
}

/** What of a cost beyond what is there is charged: nothing (402), all of it as debt, or what there is. */
export type OnInsufficient = "reject" | "record" | "cap";

/** A charge: `creditAmount`, or what `tokens` or `tokenCount` cost by the price list. */
export interface ChargeFields {
  serviceType: string;
  creditAmount?: number | undefined;
  /** Default: the sum of `tokens`. */
  tokenCount?: number | undefined;
  /** Tokens by kind. */
  tokens?: Partial<Tokens> | undefined;
  modelUsed?: string | undefined;
  sessionId?: string | undefined;
  /** A JSON object of the application's. It is stored as it is. */
  details?: Record<string, unknown> | undefined;
  timestamp?: Date | string | undefined;
  /** Default: `reject`. */
  onInsufficient?: OnInsufficient | undefined;
}
export interface ChargeOptions extends ChargeFields, WriteOptions {}

/** One charge of many, with a key of its own if it has one. */
export interface ChargeOfMany extends ChargeFields {
  userId: string;
  idempotencyKey?: string | undefined;
}

export interface HoldFields {
  /** What it may cost at most. */
  creditAmount: number;
  /** Where less than `creditAmount` is there, so much is enough. */
  atLeast?: number | undefined;
  /** Seconds, 300 unless told, at most 86,400. */
  expiresIn?: number | undefined;
  serviceType?: string | undefined;
  tokenCount?: number | undefined;
  modelUsed?: string | undefined;
  sessionId?: string | undefined;
  details?: Record<string, unknown> | undefined;
  timestamp?: Date | string | undefined;
  /** Default: `reject`. */
  onInsufficient?: "reject" | "record" | undefined;
}
export interface HoldOptions extends HoldFields, WriteOptions {}

/**
 * What it cost: `creditAmount`, or what `tokens` or `tokenCount` cost. What is left out stays as the hold
 * said it.
 */
export interface Cost {
  creditAmount?: number | undefined;
  /** Default: the sum of `tokens`. */
  tokenCount?: number | undefined;
  /** Tokens by kind. */
  tokens?: Partial<Tokens> | undefined;
  modelUsed?: string | undefined;
  details?: Record<string, unknown> | undefined;
  /** Default: `cap`. */
  onInsufficient?: OnInsufficient | undefined;
}

export interface HoldingOptions extends HoldOptions {
  /**
   * What becomes of the hold where the callback throws: it is released (default), or what was
   * reported until then is settled, and released only where nothing was.
   */
  onError?: "release" | "settle" | undefined;
}

export interface ReverseOptions extends WriteOptions {
  /** Kept in the history. */
  reason: string;
  /** Default: all that is left of the charge. */
  creditAmount?: number | undefined;
}

/** What was paid. `amount` is in the currency's minor unit. */
export interface Payment {
  method: string;
  transactionId: string;
  amount: number;
  currency: string;
}

export interface AddCreditsOptions extends WriteOptions {
  amount: number;
  /** `daily` (default): spread over `days` days; `pack`: any part may be spent on any day. */
  kind?: "daily" | "pack" | undefined;
  days?: number | undefined;
  payment: Payment;
  timezone?: string | undefined;
  expiresAt?: Date | string | undefined;
  priority?: number | undefined;
  category?: "paid" | "promotional" | undefined;
}

export interface UsageOptions extends CallOptions {
  from?: Date | string | undefined;
  /** Exclusive. */
  to?: Date | string | undefined;
  /** Records a page, 1 to 1,000. */
  limit?: number | undefined;
  /** Where to go on: `nextCursor` of a page. */
  cursor?: string | undefined;
}

export interface EventsOptions {
  types?: readonly EventType[] | undefined;
  userId?: string | undefined;
  /** The id of the last event that was seen, or `beginning`. Default: what is new from now on. */
  after?: string | undefined;
  /** Ends the iteration, without an error. */
  signal?: AbortSignal | undefined;
  /** How long it goes on trying while nobody answers, before it throws. Default: 5 minutes. */
  awayMsMax?: number | undefined;
}

export interface AdjustOptions extends WriteOptions {
  /** To be given; less than 0: to be taken. One of this and `remainingCredits`. */
  creditAmount?: number | undefined;
  /** What is to be left. */
  remainingCredits?: number | undefined;
  reason: string;
  expiresAt?: Date | string | undefined;
  allowDebt?: boolean | undefined;
}

export interface ChangeSubscriptionOptions extends WriteOptions {
  status?: Exclude<SubscriptionStatus, "none"> | undefined;
  endDate?: Date | string | undefined;
  timezone?: string | undefined;
  reason?: string | undefined;
}

export interface ListOptions extends CallOptions {
  /** Items a page, 1 to 1,000. */
  limit?: number | undefined;
  cursor?: string | undefined;
}
export interface SubscriptionListOptions extends ListOptions {
  status?: SubscriptionStatus | undefined;
}

export interface CreateKeyOptions extends CallOptions {
  name: string;
  scope: "read" | "write" | "admin";
  /** Seconds in which it is in force. Default: until it is revoked. */
  expiresIn?: number | undefined;
  /** The users it is for, with those of the prefix. Default: all. */
  userIds?: string[] | undefined;
  userIdPrefix?: string | undefined;
  /** The services it is for. Default: all. */
  services?: string[] | undefined;
}
export interface RotateKeyOptions extends CallOptions {
  /** Seconds in which the old key goes on. Default: a day. */
  overlap?: number | undefined;
  /** Seconds in which the new key is in force. Default: as long as the old one was to be. */
  expiresIn?: number | undefined;
}
export interface AuditOptions extends ListOptions {
  /** Acts of one caller: `key:5f0c91ab`. */
  by?: string | undefined;
}

// While nobody answers.

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
  /** Default: the runtime's own. */
  fetch?: typeof fetch | undefined;
}
