/** Every operation of the service has a method: `tests/clients/test_operations.py` holds the table to its document. */

import assert from "node:assert/strict";
import { test } from "node:test";

import type { Allotment } from "../../src/index.js";
import { client, FakeService, json } from "../fakes.js";

const payment = { method: "card", transactionId: "t-1", amount: 2900, currency: "eur" };
const charge = { serviceType: "chat", creditAmount: 1 };

const OPERATIONS: Record<string, (allotment: Allotment) => unknown> = {
  "GET /subscription/status": (a) => a.status("id"),
  "POST /subscription/usage": (a) => a.charge("id", charge),
  "GET /subscription/usage": (a) => a.usage("id").pages().next(),
  "GET /subscription/usage/monthly": (a) => a.month("id", "2026-03"),
  "GET /subscription/usage/recent": (a) => a.recent("id", 7),
  "POST /subscription/usage/batch": (a) => a.chargeMany([{ userId: "id", ...charge }]),
  "POST /subscription/usage/{}/reversals": (a) => a.reverse("id", { reason: "why" }),
  "POST /subscription/credits": (a) => a.addCredits("id", { amount: 1, days: 1, payment }),
  "POST /subscription/adjustments": (a) => a.admin.adjust("id", { creditAmount: 1, reason: "why" }),
  "POST /subscription/holds": (a) => a.hold("id", { creditAmount: 1 }),
  "GET /subscription/holds": (a) => a.holds("id"),
  "POST /subscription/holds/{}/settle": (a) => a.settle("id", { creditAmount: 1 }),
  "DELETE /subscription/holds/{}": (a) => a.release("id"),
  "GET /subscriptions": (a) => a.admin.subscriptions().pages().next(),
  "GET /subscriptions/{}": (a) => a.subscriptions("id"),
  "PATCH /subscriptions/{}": (a) => a.admin.changeSubscription("id", { status: "paused" }),
  "GET /subscriptions/{}/history": (a) => a.admin.history("id").pages().next(),
  "DELETE /users/{}": (a) => a.admin.anonymize("id"),
  "GET /admin/anonymizations": (a) => a.admin.anonymizations(),
  "GET /events": (a) => a.events().next(),
  "POST /events/token": (a) => a.streamToken("id"),
  "GET /admin/events": (a) => a.admin.events(),
  "POST /admin/events/{}/redeliver": (a) => a.admin.redeliver("id"),
  "POST /admin/keys": (a) => a.admin.createKey({ name: "web", scope: "read" }),
  "GET /admin/keys": (a) => a.admin.keys().pages().next(),
  "POST /admin/keys/{}/rotate": (a) => a.admin.rotateKey("id"),
  "DELETE /admin/keys/{}": (a) => a.admin.revokeKey("id"),
  "POST /admin/endpoints": (a) => a.admin.createEndpoint({ url: "https://crm.example/" }),
  "GET /admin/endpoints": (a) => a.admin.endpoints(),
  "PATCH /admin/endpoints/{}": (a) => a.admin.changeEndpoint("id", { enabled: false }),
  "POST /admin/endpoints/{}/rotate": (a) => a.admin.rotateEndpoint("id"),
  "POST /admin/endpoints/{}/test": (a) => a.admin.testEndpoint("id"),
  "DELETE /admin/endpoints/{}": (a) => a.admin.removeEndpoint("id"),
  "GET /admin/settings": (a) => a.admin.settings(),
  "PATCH /admin/settings": (a) => a.admin.changeSettings({ corsOrigins: [] }),
  "GET /admin/audit": (a) => a.admin.audit().pages().next(),
  "GET /admin/users": (a) => a.admin.users(),
  "GET /admin/refusals": (a) => a.admin.refusals().pages().next(),
  "GET /admin/prices": (a) => a.admin.prices(),
  "POST /admin/sync": (a) => a.admin.sync(),
  "GET /admin/sync": (a) => a.admin.syncReport(),
  "POST /admin/validate": (a) => a.admin.validate(),
  "GET /admin/sweeps": (a) => a.admin.sweeps(),
  "GET /admin/shards": (a) => a.admin.shards(),
  "POST /admin/reshard": (a) => a.admin.reshard(2),
  "GET /admin/reshard": (a) => a.admin.resharding(),
  "POST /admin/stripe/reconcile": (a) => a.admin.reconcileStripe(),
  "GET /admin/stripe/reconcile": (a) => a.admin.stripeProgress(),
  "PUT /admin/test-clock": (a) => a.admin.setTestClock("2027-01-01T00:00:00Z"),
  "GET /readyz": (a) => a.ready(),
};

for (const [operation, call] of Object.entries(OPERATIONS)) {
  test(`a method sends ${operation}`, async () => {
    const service = new FakeService(json(400, { code: "invalid_request", title: "no" }));

    await Promise.resolve(call(client(service))).catch(() => undefined);

    const [first] = service.asked;
    const path = first?.path.replace(/\?.*/, "").replace(/\/id(?=\/|$)/, "/{}");
    assert.equal(`${first?.method} ${path}`, operation);
  });
}
