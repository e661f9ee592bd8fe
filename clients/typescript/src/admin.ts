/** What operators do, with a key of the scope `admin`. */

import { Paged } from "./pages.js";
import { segment } from "./serializing.js";
import type {
  Act,
  Adjustment,
  AdjustOptions,
  AnonymizationReport,
  AuditOptions,
  CallOptions,
  ChangeEndpointOptions,
  ChangeSettingsOptions,
  ChangeSubscriptionOptions,
  CreateEndpointOptions,
  CreateKeyOptions,
  Endpoint,
  EndpointTrial,
  EventsReport,
  HistoryEntry,
  Key,
  ListOptions,
  MadeEndpoint,
  MadeKey,
  PriceList,
  RankedUsers,
  Redelivery,
  RefusedRequest,
  RereadReport,
  ReshardReport,
  RotateKeyOptions,
  ServiceSettings,
  ShardReport,
  StripeProgress,
  Subscription,
  SubscriptionListOptions,
  SweepReport,
  SyncReport,
  TestClock,
  UserListOptions,
  WriteOptions,
} from "./types.js";
import type { Transport } from "./transport.js";

export class Admin {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Subscriptions of all users, by id. */
  subscriptions(options: SubscriptionListOptions = {}): Paged<Subscription> {
    const { status, limit, cursor, ...call } = options;
    return new Paged((at) => {
      return this.#transport.read("/subscriptions", { status, limit, cursor: at }, call);
    }, cursor);
  }

  /** What was decided about a user and who asked for it, newest first. */
  history(userId: string, options: ListOptions = {}): Paged<HistoryEntry> {
    const { limit, cursor, ...call } = options;
    return new Paged(async (at) => {
      const path = `/subscriptions/${segment(userId)}/history`;
      return this.#transport.read(path, { limit, cursor: at }, call);
    }, cursor);
  }

  /** Give a subscription another status, end or time zone. */
  async changeSubscription(
    subscriptionId: string,
    options: ChangeSubscriptionOptions,
  ): Promise<Subscription> {
    const path = `/subscriptions/${segment(subscriptionId)}`;
    return this.#transport.write("PATCH", path, options);
  }

  /** Give or take credits, or set what is left to a number. */
  adjust(userId: string, options: AdjustOptions): Promise<Adjustment> {
    const write = { userId, ...options };
    return this.#transport.write("POST", "/subscription/adjustments", write);
  }

  /** Put a random id in the place of a user's in everything that is stored. It cannot be undone. */
  async anonymize(userId: string, options: WriteOptions = {}): Promise<AnonymizationReport> {
    const write = { mode: "anonymize", ...options };
    return this.#transport.write("DELETE", `/users/${segment(userId)}`, write);
  }

  /** The newest anonymisations, newest first. */
  anonymizations(options: { limit?: number } & CallOptions = {}): Promise<AnonymizationReport[]> {
    const { limit, ...call } = options;
    return this.#transport.read("/admin/anonymizations", { limit }, call);
  }

  /** Make an API key, which is shown this once. A repeat would make another: nothing is repeated. */
  async createKey(options: CreateKeyOptions): Promise<MadeKey> {
    const { signal, timeoutMs, ...body } = options;
    return this.#transport.act("/admin/keys", body, { signal, timeoutMs });
  }

  /** API keys without their secrets, the oldest first, revoked ones too. */
  keys(options: ListOptions = {}): Paged<Key> {
    const { limit, cursor, ...call } = options;
    return new Paged((at) => {
      return this.#transport.read("/admin/keys", { limit, cursor: at }, call);
    }, cursor);
  }

  /** Make a key that may do the same, which is shown this once; the old one goes on for a while. */
  async rotateKey(keyId: string, options: RotateKeyOptions = {}): Promise<MadeKey> {
    const { signal, timeoutMs, ...body } = options;
    const path = `/admin/keys/${segment(keyId)}/rotate`;
    return this.#transport.act(path, body, { signal, timeoutMs });
  }

  /** Have a key refused everywhere within five seconds. */
  async revokeKey(keyId: string, options: CallOptions = {}): Promise<Key> {
    const path = `/admin/keys/${segment(keyId)}`;
    return this.#transport.act(path, {}, options, { method: "DELETE" });
  }

  /** Make an endpoint of webhooks, and show the secret that signs its events this once. */
  createEndpoint(options: CreateEndpointOptions): Promise<MadeEndpoint> {
    return this.#transport.write("POST", "/admin/endpoints", options);
  }

  /** Endpoints of webhooks: those of the environment, then the others, the oldest first. */
  endpoints(options: CallOptions = {}): Promise<Endpoint[]> {
    return this.#transport.read("/admin/endpoints", {}, options);
  }

  /** Change where events go, which, or whether any do. What is left out stays. */
  async changeEndpoint(endpointId: string, options: ChangeEndpointOptions): Promise<Endpoint> {
    const { signal, timeoutMs, ...body } = options;
    const manner = { method: "PATCH", repeatable: true };
    return this.#transport.act(`/admin/endpoints/${segment(endpointId)}`, body, { signal, timeoutMs }, manner);
  }

  /** Give an endpoint a new secret, which is shown this once; the one before signs on for a while. */
  async rotateEndpoint(
    endpointId: string,
    options: { overlap?: number } & CallOptions = {},
  ): Promise<MadeEndpoint> {
    const { overlap, ...call } = options;
    return this.#transport.act(`/admin/endpoints/${segment(endpointId)}/rotate`, { overlap }, call);
  }

  /** Have one signed test event sent, and tell what came of it. */
  async testEndpoint(endpointId: string, options: CallOptions = {}): Promise<EndpointTrial> {
    return this.#transport.act(`/admin/endpoints/${segment(endpointId)}/test`, {}, options);
  }

  /** Remove an endpoint, with its place and its dead letters. */
  async removeEndpoint(endpointId: string, options: CallOptions = {}): Promise<Endpoint> {
    return this.#transport.act(`/admin/endpoints/${segment(endpointId)}`, {}, options, { method: "DELETE" });
  }

  /** What is set while the service runs, beside what its environment says. */
  settings(options: CallOptions = {}): Promise<ServiceSettings> {
    return this.#transport.read("/admin/settings", {}, options);
  }

  /** Set what is named, within five seconds. What is left out stays. */
  changeSettings(options: ChangeSettingsOptions): Promise<ServiceSettings> {
    const { signal, timeoutMs, ...body } = options;
    const manner = { method: "PATCH", repeatable: true };
    return this.#transport.act("/admin/settings", body, { signal, timeoutMs }, manner);
  }

  /** Administrative acts, newest first: with which key each was asked for, and when. */
  audit(options: AuditOptions = {}): Paged<Act> {
    const { by, limit, cursor, ...call } = options;
    return new Paged((at) => {
      return this.#transport.read("/admin/audit", { by, limit, cursor: at }, call);
    }, cursor);
  }

  /** Users who have the least left, or the most, of those in RAM. */
  users(options: UserListOptions = {}): Promise<RankedUsers> {
    const { order, limit, ...call } = options;
    return this.#transport.read("/admin/users", { order, limit }, call);
  }

  /** Requests that were refused under an idempotency key, newest first. */
  refusals(options: ListOptions = {}): Paged<RefusedRequest> {
    const { limit, cursor, ...call } = options;
    return new Paged((at) => {
      return this.#transport.read("/admin/refusals", { limit, cursor: at }, call);
    }, cursor);
  }

  /** The price list in force. */
  prices(options: CallOptions = {}): Promise<PriceList> {
    return this.#transport.read("/admin/prices", {}, options);
  }

  /** Read RAM anew from MongoDB, for one user or for all. */
  sync(options: { userId?: string } & CallOptions = {}): Promise<RereadReport> {
    const { userId, ...call } = options;
    return this.#transport.act("/admin/sync", { userId }, call, { repeatable: true });
  }

  /** How far RAM is behind what other programs write. */
  syncReport(options: CallOptions = {}): Promise<SyncReport> {
    return this.#transport.read("/admin/sync", {}, options);
  }

  /** Compare RAM with MongoDB now; `repair: false` only reports. */
  validate(options: { repair?: boolean } & CallOptions = {}): Promise<SweepReport> {
    const { repair, ...call } = options;
    return this.#transport.act("/admin/validate", { repair }, call, { repeatable: true });
  }

  /** Reports of the janitor's runs, newest first. */
  sweeps(options: { job?: string; limit?: number } & CallOptions = {}): Promise<SweepReport[]> {
    const { job, limit, ...call } = options;
    return this.#transport.read("/admin/sweeps", { job, limit }, call);
  }

  /** One row a shard. */
  shards(options: CallOptions = {}): Promise<ShardReport[]> {
    return this.#transport.read("/admin/shards", {}, options);
  }

  /** Begin to change the number of shards, or say how far that is. */
  reshard(shards: number, options: CallOptions = {}): Promise<ReshardReport> {
    return this.#transport.act("/admin/reshard", { shards }, options, { repeatable: true });
  }

  /** How far the newest change of the number of shards is. */
  resharding(options: CallOptions = {}): Promise<ReshardReport> {
    return this.#transport.read("/admin/reshard", {}, options);
  }

  /** Undelivered and dead events, and how each endpoint does. */
  events(options: CallOptions = {}): Promise<EventsReport> {
    return this.#transport.read("/admin/events", {}, options);
  }

  /** Deliver an event again: where it is dead, else to all who want it. */
  async redeliver(eventId: string, options: CallOptions = {}): Promise<Redelivery> {
    return this.#transport.act(`/admin/events/${segment(eventId)}/redeliver`, {}, options);
  }

  /** Compare everything with Stripe now. */
  reconcileStripe(options: CallOptions = {}): Promise<SweepReport> {
    return this.#transport.act("/admin/stripe/reconcile", {}, options);
  }

  /** How far the comparison with Stripe is. */
  stripeProgress(options: CallOptions = {}): Promise<StripeProgress> {
    return this.#transport.read("/admin/stripe/reconcile", {}, options);
  }

  /** Set the whole service's clock forward, where `ALLOTMENT_TEST_CLOCK=1`. */
  setTestClock(now: Date | string, options: CallOptions = {}): Promise<TestClock> {
    const manner = { method: "PUT", repeatable: true };
    return this.#transport.act("/admin/test-clock", { now }, options, manner);
  }
}
