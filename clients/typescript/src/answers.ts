/** What the service answers: the types of its document, in camelCase. */

import type { Camel } from "./casing.js";
import type { components } from "./openapi.js";

type Schemas = components["schemas"];

// Times are ISO 8601 in UTC, as the service wrote them; every amount is
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
export type RecentUsage = Camel<Schemas["RecentUsage"]>;
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
/** Where events are sent, without the secrets that sign them. */
export type Endpoint = Camel<Schemas["EndpointRecord"]>;
/** An endpoint whose secret was made just now: it is shown this once. */
export type MadeEndpoint = Camel<Schemas["MadeEndpoint"]>;
/** What came of a test event. */
export type EndpointTrial = Camel<Schemas["EndpointTrial"]>;
/** What is set at run time, and what the service's environment says of the same. */
export type ServiceSettings = Camel<Schemas["SettingsReport"]>;
/** Who asked for an administrative act, when, and what became of it. */
export type Act = Camel<Schemas["ActRecord"]>;
/** A request that was refused under an idempotency key. */
export type RankedUsers = Camel<Schemas["RankedUsers"]>;
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
