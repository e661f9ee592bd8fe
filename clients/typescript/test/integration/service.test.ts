/** The client against a service: `ALLOTMENT_URL`, and an admin key in `ALLOTMENT_KEY`. */

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  AlreadyReversed,
  Allotment,
  DuplicatePayment,
  EVENT_TYPES,
  HoldClosed,
  IdempotencyKeyReused,
  InsufficientCredits,
  InvalidRequest,
  NotFound,
  Unauthorized,
} from "../../src/index.js";

const baseUrl = process.env.ALLOTMENT_URL ?? "http://127.0.0.1:8000";
const apiKey = process.env.ALLOTMENT_KEY ?? "";
const allotment = new Allotment({ baseUrl, apiKey });

/** Make a user with 90 credits a day, and nothing used. */
async function user(): Promise<string> {
  const id = `ts/${crypto.randomUUID()}+ö`;
  const payment = { method: "card", transactionId: "t-1", amount: 2_900, currency: "eur" };
  const added = await allotment.addCredits(id, { amount: 3_000, days: 30, payment });
  assert.equal(added.subscription.remainingCredits, 90);
  return id;
}

async function left(userId: string): Promise<number> {
  return (await allotment.status(userId)).remainingCredits;
}

test("credits are added, shown and charged", async () => {
  const ada = await user();
  const details = { snake_case: { camelCase: [1, null, "ö"] } };

  const charge = await allotment.charge(ada, {
    serviceType: "chat",
    creditAmount: 30,
    tokenCount: 900,
    modelUsed: "large-7",
    sessionId: "s",
    details,
  });

  assert.equal(charge.remainingCredits, 60);
  assert.equal(await left(ada), 60);
  assert.deepEqual(charge.details, details);
  assert.deepEqual(charge.sources.map(({ source, creditAmount }) => [source, creditAmount]), [["day", 30]]);
  const { subscriptions, packs } = await allotment.subscriptions(ada);
  assert.deepEqual([subscriptions[0]?.totalCredits, packs], [3_000, []]);
});

test("one key charges once, alone or in a batch", async () => {
  const ada = await user();
  const charge = { serviceType: "chat", creditAmount: 7, details: { b: 1, a: 2 } };

  const first = await allotment.charge(ada, { ...charge, key: "job-17" });
  const again = await allotment.charge(ada, { ...charge, key: "job-17" });
  const [batched] = await allotment.chargeMany([{ userId: ada, ...charge, idempotencyKey: "job-17" }]);
  const other = allotment.charge(ada, { ...charge, creditAmount: 8, key: "job-17" });

  assert.deepEqual(again, first);
  assert.ok(batched?.ok && batched.charge.usageId === first.usageId);
  await assert.rejects(other, IdempotencyKeyReused);
  assert.equal(await left(ada), 83);
});

test("refusals are typed, and say when it would pass", async () => {
  const ada = await user();
  const { resetsAt } = await allotment.status(ada);

  await assert.rejects(allotment.charge(ada, { serviceType: "chat", creditAmount: 100 }), (error) => {
    assert.ok(error instanceof InsufficientCredits);
    assert.equal(error.availableAt?.getTime(), Date.parse(resetsAt));
    assert.deepEqual([error.limit, error.remainingCredits, error.requiredCredits], ["daily", 90, 100]);
    return true;
  });
  await assert.rejects(
    allotment.charge(ada, { serviceType: "chat", creditAmount: 2 ** 52 }),
    (error) => error instanceof InsufficientCredits && error.availableAt === null,
  );
  await assert.rejects(allotment.charge(ada, { serviceType: "", creditAmount: 1 }), (error) => {
    assert.ok(error instanceof InvalidRequest && error.errors[0]?.field === "service_type");
    return true;
  });
  const payment = { method: "card", transactionId: "t-1", amount: 1, currency: "eur" };
  await assert.rejects(allotment.addCredits(ada, { amount: 1, days: 1, payment }), DuplicatePayment);
  await assert.rejects(new Allotment({ baseUrl, apiKey: "nobody's" }).status(ada), Unauthorized);
  assert.equal(await left(ada), 90);
});

test("amounts of any size are exact", async () => {
  const ada = await user();
  const creditAmount = Number.MAX_SAFE_INTEGER - 4_000;

  const given = await allotment.admin.adjust(ada, { creditAmount, reason: "a large one" });
  const charge = await allotment.charge(ada, { serviceType: "chat", creditAmount: creditAmount + 89 });

  assert.equal(given.creditAmount, creditAmount);
  assert.deepEqual([charge.creditAmount, await left(ada)], [creditAmount + 89, 1]);
});

test("a hold is settled, released, or refused, and what is left is free", async () => {
  const ada = await user();

  const text = await allotment.holding(ada, { creditAmount: 40, serviceType: "chat" }, async (hold) => {
    assert.equal(await left(ada), 50);
    assert.equal((await allotment.holds(ada)).holds[0]?.holdId, hold.holdId);
    hold.report({ creditAmount: 12, tokenCount: 900 });
    return "done";
  });
  assert.equal(text, "done");
  assert.equal(await left(ada), 78);

  const failed = allotment.holding(ada, { creditAmount: 40 }, () => Promise.reject(new RangeError("no")));
  await assert.rejects(failed, RangeError);
  assert.equal(await left(ada), 78);

  const some = await allotment.hold(ada, { creditAmount: 200, atLeast: 50 });
  assert.equal(some.creditAmount, 78);
  const charge = await some.settle({ creditAmount: 100 });
  assert.deepEqual([charge.creditAmount, charge.uncoveredCredits], [78, 22]);
  await assert.rejects(allotment.release(some.holdId ?? ""), HoldClosed);
  await assert.rejects(allotment.hold(ada, { creditAmount: 1 }), InsufficientCredits);
});

test("a charge is given back, once", async () => {
  const ada = await user();
  const { usageId } = await allotment.charge(ada, { serviceType: "chat", creditAmount: 30 });

  const part = await allotment.reverse(usageId, { reason: "a mistake", creditAmount: 10 });
  const rest = await allotment.reverse(usageId, { reason: "a mistake" });

  assert.deepEqual([part.returnedCredits, rest.returnedCredits, rest.remainingCredits], [10, 20, 90]);
  await assert.rejects(allotment.reverse(usageId, { reason: "again" }), AlreadyReversed);
  await assert.rejects(allotment.reverse("0".repeat(24), { reason: "none" }), NotFound);
});

test("usage is listed over pages, and summed by month", async () => {
  const ada = await user();
  const timestamp = "2026-02-03T04:05:06Z";
  const charge = (creditAmount: number) => ({ userId: ada, serviceType: "chat_bot", creditAmount, timestamp });
  const outcomes = await allotment.chargeMany([charge(1), charge(2), charge(1_000), charge(3)]);
  assert.deepEqual(outcomes.map((outcome) => outcome.ok || outcome.error.code), [
    true,
    true,
    "insufficient_credits",
    true,
  ]);

  const amounts = [];
  for await (const record of allotment.usage(ada, { limit: 2 })) amounts.push(record.creditAmount);
  const sizes = [];
  for await (const page of allotment.usage(ada, { limit: 2 }).pages()) sizes.push(page.items.length);
  const month = await allotment.month(ada, "2026-02");

  assert.deepEqual(amounts.sort(), [1, 2, 3]);
  assert.deepEqual(sizes, [2, 1]);
  assert.deepEqual([month.creditAmount, month.byService.chat_bot?.creditAmount], [6, 6]);
  assert.deepEqual(Object.keys(month.byDay), ["2026-02-03"]);
});

test("events are followed, and resumed after the last one", async () => {
  const ada = await user();
  await allotment.charge(ada, { serviceType: "chat", creditAmount: 90 });

  const seen = [];
  for await (const event of allotment.events({ userId: ada, after: "beginning" })) {
    seen.push(event);
    if (event.type === "credits.depleted") break;
  }
  const [first, second] = seen;
  const following = allotment.events({ userId: ada, after: first?.id ?? "" });
  const resumed = await following.next();
  await following.return();

  assert.equal(first?.type, "subscription.changed");
  assert.ok(seen.every(({ type, userId }) => EVENT_TYPES.includes(type) && userId === ada));
  assert.deepEqual(resumed.value, second);
  await assert.rejects(allotment.events({ after: "evt_none" }).next(), InvalidRequest);
});

test("what operators do", async () => {
  const ada = await user();
  const { admin } = allotment;
  const { subscriptions } = await allotment.subscriptions(ada);
  const subscriptionId = subscriptions[0]?.subscriptionId ?? "";

  const changed = await admin.changeSubscription(subscriptionId, { status: "paused", reason: "asked for" });
  assert.equal(changed.status, "paused");
  const adjusted = await admin.adjust(ada, { remainingCredits: 500, reason: "a gift" });
  assert.equal(adjusted.remainingCredits, 500);
  const kinds = [];
  for await (const entry of admin.history(ada, { limit: 2 })) kinds.push(entry.kind);
  assert.ok(kinds.length >= 3);
  const listed = [];
  for await (const { userId } of admin.subscriptions({ status: "paused" })) listed.push(userId);
  assert.ok(listed.includes(ada) || process.env.ALLOTMENT_IN_MEMORY);
  assert.equal((await admin.sync({ userId: ada })).checked, 1);
  assert.ok(Array.isArray(await admin.shards()));
  assert.ok((await admin.syncReport()).lagSeconds >= 0);
  assert.ok(Array.isArray((await admin.events()).endpoints));
  assert.ok(Array.isArray(await admin.sweeps({ limit: 1 })));
  assert.ok(Array.isArray(await admin.anonymizations({ limit: 1 })));
  await assert.rejects(admin.redeliver("evt_none"), NotFound);

  const made = await admin.createKey({ name: "shop", scope: "write", userIds: [ada] });
  const next = await admin.rotateKey(made.keyId, { overlap: 60 });
  assert.deepEqual([made.userIds, next.userIds, next.services], [[ada], [ada], null]);
  assert.ok((await admin.revokeKey(next.keyId)).revokedAt);
  const known: string[] = [];
  for await (const { keyId } of admin.keys({ limit: 1 })) known.push(keyId);
  assert.ok(known.includes(made.keyId));
  const [act] = (await admin.audit({ limit: 1 }).pages().next()).value!.items;
  assert.equal(act!.target, next.keyId);
});

test("the service says that it is there", async () => {
  assert.equal(await allotment.ready(), true);
  assert.equal(await new Allotment({ baseUrl: "http://127.0.0.1:1", apiKey }).ready(), false);
});
