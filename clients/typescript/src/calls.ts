/** What calls take, in camelCase. */

import type { EventType, SubscriptionStatus } from "./answers.js";
import type { Tokens } from "./tokens.js";

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

export interface ReleaseOptions extends WriteOptions {
  /** Kept in the user's history. */
  reason?: string | undefined;
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
export interface UserListOptions extends CallOptions {
  /** Whom to begin with: who has the least left (default), or the most. */
  order?: "least" | "most" | undefined;
  /** How many, 1 to 1,000. */
  limit?: number | undefined;
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
export interface CreateEndpointOptions extends WriteOptions {
  /** https, to a public address, unless `ALLOTMENT_ENDPOINT_HOSTS` names its host. */
  url: string;
  /** The types it is sent. Default: all. */
  events?: EventType[] | undefined;
  /** `false`: it is sent nothing yet. */
  enabled?: boolean | undefined;
}
export interface ChangeSettingsOptions extends CallOptions {
  /** All origins of browsers' pages that may call, beside the environment's. */
  corsOrigins?: string[] | undefined;
  /** All thresholds of low credits in percent, in place of the environment's; `null`: that one alone. */
  lowCreditsPercents?: number[] | null | undefined;
}
export interface ChangeEndpointOptions extends CallOptions {
  url?: string | undefined;
  /** The types it is sent; `[]`: all. */
  events?: EventType[] | undefined;
  /** `false`: it keeps its place, and is sent nothing. */
  enabled?: boolean | undefined;
}
