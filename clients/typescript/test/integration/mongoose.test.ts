/** The schemas read what the service has written: its database is at `ALLOTMENT_MONGO_URI`. */

import assert from "node:assert/strict";
import { after, test } from "node:test";

import mongoose from "mongoose";

import { Allotment } from "../../src/index.js";
import { allotmentModels, storedId } from "../../src/mongoose.js";

const baseUrl = process.env.ALLOTMENT_URL ?? "";
const allotment = new Allotment({ baseUrl, apiKey: process.env.ALLOTMENT_KEY ?? "" });
const connection = await mongoose
  .createConnection(process.env.ALLOTMENT_MONGO_URI ?? "", { dbName: "allotment", retryWrites: false })
  .asPromise();
const { Subscription, DailyCredit, Usage, Pack } = allotmentModels(mongoose, { connection });
after(() => connection.close());

for (const ada of [`mongoose-${crypto.randomUUID()}`, new mongoose.Types.ObjectId().toString()]) {
  test(`an application reads what was written for ${ada.length === 24 ? "an ObjectId" : "a text"}`, async () => {
    const payment = { method: "card", transactionId: "t-1", amount: 2_900, currency: "eur" };
    await allotment.addCredits(ada, { amount: 3_000, days: 30, payment });
    const bought = { ...payment, transactionId: "t-2" };
    const { packId } = await allotment.addCredits(ada, { amount: 100, kind: "pack", payment: bought });
    const details = { a_b: 1 };
    const charge = await allotment.charge(ada, { serviceType: "chat", creditAmount: 100, details });
    await allotment.subscriptions(ada); // Waits until the documents have what was answered.

    const subscription = await Subscription.findOne({ user_id: ada }).orFail();
    const day = await DailyCredit.findOne({ subscription_id: subscription._id }).orFail();
    const usage = await Usage.findById(charge.usageId).orFail();
    const pack = await Pack.findOne({ user_id: { $in: [ada] } }).orFail();

    assert.deepEqual(subscription.user_id, storedId(mongoose, ada));
    assert.deepEqual([subscription.total_credits, subscription.status], [3_000, "active"]);
    assert.equal(subscription.grants?.[0]?.payment?.transaction_id, "t-1");
    assert.ok(subscription.end_date instanceof Date);
    assert.deepEqual([day.daily_credit_limit, day.credits_used], [90, 90]);
    assert.deepEqual([usage.credit_amount, usage.details], [100, details]);
    assert.deepEqual(usage.sources?.map((source) => [source.source, source.credit_amount]), [
      ["day", 90],
      ["pack", 10],
    ]);
    assert.deepEqual([String(pack._id), pack.credits_used, pack.expires_at], [packId, 10, null]);
  });
}

test("a change of an application's keeps what only the service needs, and the service follows it", async () => {
  const ada = `mongoose-${crypto.randomUUID()}`;
  const payment = { method: "card", transactionId: "t-1", amount: 2_900, currency: "eur" };
  await allotment.addCredits(ada, { amount: 3_000, days: 30, payment });
  await allotment.subscriptions(ada);
  const raw = () => connection.collection("subscriptions").findOne({ user_id: ada });
  const before = await raw();

  const subscription = await Subscription.findOne({ user_id: ada }).orFail();
  subscription.status = "paused";
  await subscription.save();

  assert.deepEqual(await raw(), { ...before, status: "paused" });
  const deadline = Date.now() + 60_000;
  while ((await allotment.status(ada)).status !== "paused") assert.ok(Date.now() < deadline);
});

test("the schemas make no indexes and no collections", () => {
  for (const { schema } of [Subscription, DailyCredit, Usage, Pack]) {
    assert.deepEqual(schema.indexes(), []);
    assert.deepEqual([schema.get("autoIndex"), schema.get("autoCreate")], [false, false]);
  }
});
