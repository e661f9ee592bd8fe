// The service many teams would write: Express and Mongoose, one process, and a Map as its cache.
//
// A status is read from the Map. A charge is decided in it, and then written: the usage record, then
// the day, each durable. Beside each other, 64 callers get a tenth more, but a single one half: the
// embedded database's writers wait for each other. Two writes are no transaction: a crash between
// them leaves books that differ, and a second process would overspend. It keeps no idempotency keys
// and rolls nothing over, which only makes it faster.

import mongoose from "mongoose";
import { leftOf, midnight, usageAnswer } from "./answers.js";
import { Refused, serve } from "./app.js";

const { ObjectId, Mixed } = mongoose.Schema.Types;
const { BENCH_MONGO_URI, BENCH_MONGO_DATABASE } = process.env;

const Subscription = model("Subscription", {
  user_id: ObjectId, status: String, timezone: String, start_date: Date, end_date: Date,
  total_credits: Number, system_portion: Number, spendable_credits: Number,
});
const DailyCredit = model("DailyCredit", {
  user_id: ObjectId, subscription_id: ObjectId, date: Date,
  daily_credit_limit: Number, credits_rolled_over: Number, credits_used: Number,
});
const Usage = model("Usage", {
  user_id: ObjectId, subscription_id: ObjectId, service_type: String, credit_amount: Number,
  token_count: Number, model_used: String, session_id: String, details: Mixed,
  timestamp: Date, date: Date, created_at: Date,
});
const Key = model("allotment_api_key", { hash: String, scope: String, revoked_at: Date });

function model(name, fields) {
  return mongoose.model(name, new mongoose.Schema(fields));
}

const accounts = new Map();
let cached_day = 0;

/** Returns a user's subscription and day: of the Map, or read once, whoever asks meanwhile. */
function accountOf(userId, now) {
  const today = midnight(now);
  if (cached_day !== +today) {
    accounts.clear();
    cached_day = +today;
  }
  let account = accounts.get(userId);
  if (account === undefined) {
    account = readAccount(userId, today);
    accounts.set(userId, account);
    account.catch(() => accounts.delete(userId));
  }
  return account;
}

async function readAccount(user_id, date) {
  const [subscription, day] = await Promise.all([
    Subscription.findOne({ user_id }, "-user_id").lean(),
    DailyCredit.findOne({ user_id, date }).lean(),
  ]);
  if (!subscription || !day) throw new Refused(404);
  return { subscription, day };
}

async function charge(usage) {
  const { day } = await accountOf(usage.user_id, usage.created_at);
  const amount = usage.credit_amount;
  if (leftOf(day) < amount) throw new Refused(402);
  day.credits_used += amount; // Nothing waits since the look at it: nobody else spends these.
  const _id = new mongoose.Types.ObjectId();
  const answer = usageAnswer(_id, usage, day);
  try {
    await Usage.create({ _id, ...usage, subscription_id: day.subscription_id });
    await DailyCredit.updateOne({ _id: day._id }, { $inc: { credits_used: amount } });
  } catch (error) {
    day.credits_used -= amount;
    throw error;
  }
  return answer;
}

async function scopeOfKey(hash) {
  const key = await Key.findOne({ hash, revoked_at: null }).lean();
  return key?.scope;
}

await mongoose.connect(BENCH_MONGO_URI, {
  dbName: BENCH_MONGO_DATABASE,
  writeConcern: { w: "majority", journal: true },
  readConcern: { level: "majority" },
  retryWrites: false, // As the service has it: the embedded database has no elections.
  autoIndex: false,
});
serve({ scopeOfKey, accountOf, charge });
