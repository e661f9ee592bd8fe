// The service many teams would write: Express and Redis, one process, one script for a charge.
//
// The script looks at the day, adds to its use and appends the usage record, all or nothing; Redis
// answers once its file has it (`appendfsync always`). A status is two reads. It keeps no
// idempotency keys and rolls nothing over, which only makes it faster; and only Redis has the books.

import { createClient, defineScript } from "redis";
import { midnight, usageAnswer } from "./answers.js";
import { Refused, serve } from "./app.js";

const charging = defineScript({
  NUMBER_OF_KEYS: 2,
  SCRIPT: `
    local day = redis.call("HMGET", KEYS[1],
      "daily_credit_limit", "credits_rolled_over", "credits_used", "subscription_id")
    if not day[1] or day[1] + day[2] - day[3] < tonumber(ARGV[1]) then
      return false
    end
    local used = redis.call("HINCRBY", KEYS[1], "credits_used", ARGV[1])
    local id = redis.call("XADD", KEYS[2], "*", "subscription_id", day[4], "record", ARGV[2])
    return {id, day[1], day[2], used, day[4]}
  `,
  parseCommand(parser, usage) {
    parser.pushKey(dayKey(usage.user_id, usage.date));
    parser.pushKey(`usages:${usage.user_id}`);
    parser.push(String(usage.credit_amount), JSON.stringify(usage));
  },
  transformReply: (reply) => reply,
});

const redis = createClient({ url: process.env.BENCH_REDIS_URL, scripts: { charging } });

function dayKey(userId, date) {
  return `day:${userId}:${date.toISOString().slice(0, 10)}`;
}

async function accountOf(userId, now) {
  const date = midnight(now);
  const [subscription, day] = await Promise.all([
    redis.hGetAll(`subscription:${userId}`),
    redis.hGetAll(dayKey(userId, date)),
  ]);
  if (!subscription._id || !day._id) throw new Refused(404);
  return {
    subscription: {
      ...subscription,
      ...numbers(subscription, "total_credits", "system_portion", "spendable_credits"),
      end_date: new Date(subscription.end_date),
    },
    day: {
      date,
      ...numbers(day, "daily_credit_limit", "credits_rolled_over", "credits_used"),
    },
  };
}

function numbers(hash, ...names) {
  return Object.fromEntries(names.map((name) => [name, Number(hash[name])]));
}

async function charge(usage) {
  const done = await redis.charging(usage);
  if (!done) throw new Refused(402);
  const [id, daily_credit_limit, credits_rolled_over, credits_used, subscription_id] = done;
  return usageAnswer(id, usage, {
    subscription_id,
    date: usage.date,
    credits_used,
    daily_credit_limit: Number(daily_credit_limit),
    credits_rolled_over: Number(credits_rolled_over),
  });
}

const scopeOfKey = (hash) => redis.hGet(`key:${hash}`, "scope");

await redis.connect();
serve({ scopeOfKey, accountOf, charge });
