import assert from "node:assert/strict";
import { test } from "node:test";

import { camelName, snakeName, toCamel, toSnake } from "../../src/casing.js";
import { ERRORS_BY_CODE, errorOf, Refused, TryAgain } from "../../src/errors.js";
import type { components } from "../../src/openapi.js";
import type {
  AddCreditsOptions,
  AdjustOptions,
  Allotment,
  CallOptions,
  ChangeSubscriptionOptions,
  Charge,
  ChargeFields,
  ChargeOfMany,
  Cost,
  HoldFields,
  MonthlyUsage,
  QueuedCharge,
  ReleaseOptions,
  ReverseOptions,
  WhenAway,
  WriteOptions,
} from "../../src/index.js";
import type { Camel } from "../../src/casing.js";
import { charged, client, FakeService, held, json, problem } from "../fakes.js";

type Bodies = components["schemas"];
type Same<A, B> = [A, B] extends [B, A] ? true : never;
type Fields<Options, Less extends string = never> = Exclude<keyof Options, keyof WriteOptions | Less>;

// What calls take has every field of the service's bodies, and no other.
const complete: true[] = [
  true satisfies Same<keyof ChargeFields, Exclude<keyof Camel<Bodies["RecordUsageBody"]>, "userId">>,
  true satisfies Same<keyof ChargeOfMany, keyof Camel<Bodies["BatchedUsageBody"]>>,
  true satisfies Same<keyof HoldFields, Exclude<keyof Camel<Bodies["PlaceHoldBody"]>, "userId">>,
  true satisfies Same<keyof Cost, keyof Camel<Bodies["SettleHoldBody"]>>,
  true satisfies Same<Fields<ReleaseOptions>, keyof Camel<Bodies["ReleaseHoldBody"]>>,
  true satisfies Same<Fields<ReverseOptions>, keyof Camel<Bodies["ReverseUsageBody"]>>,
  true satisfies Same<
    Fields<AddCreditsOptions>,
    Exclude<keyof Camel<Bodies["AddCreditBody"]>, "userId">
  >,
  true satisfies Same<
    keyof AddCreditsOptions["payment"],
    keyof Camel<Bodies["PaymentBody"]>
  >,
  true satisfies Same<Fields<AdjustOptions>, Exclude<keyof Camel<Bodies["AdjustCreditsBody"]>, "userId">>,
  true satisfies Same<
    Fields<ChangeSubscriptionOptions>,
    keyof Camel<Bodies["ChangeSubscriptionBody"]>
  >,
];

// Only a client that allows has answers without a charge.
type Answer<Client extends Allotment<WhenAway>> = Awaited<ReturnType<Client["charge"]>>;
const narrow: true[] = [
  true satisfies Same<Answer<Allotment>, Charge>,
  true satisfies Same<Answer<Allotment<"allow">>, Charge | QueuedCharge>,
  true satisfies Same<MonthlyUsage["byService"][string]["creditAmount"], number>,
];

test("types are as the document says", () => {
  const anyClient: Allotment<WhenAway> = client(new FakeService(charged(1)));
  const options: CallOptions = { signal: undefined };

  assert.ok(anyClient && options && [...complete, ...narrow].every(Boolean));
});

test("names are camelCase here and snake_case on the wire", () => {
  for (const name of ["user_id", "token_count", "a", "invariants_broken", "last_error"]) {
    assert.equal(snakeName(camelName(name)), name);
  }
});

test("what is the application's keeps its names", () => {
  const details = { snake_case: 1, camelCase: { also_here: 2 } };

  assert.deepEqual(toCamel({ model_used: "m", details }), { modelUsed: "m", details });
  assert.deepEqual(toSnake({ modelUsed: "m", details }), { model_used: "m", details });
});

test("services and models are names, their sums are not", () => {
  const month = { by_service: { chat_bot: { credit_amount: 3 } }, by_model: {}, by_day: {} };

  assert.deepEqual(toCamel(month), {
    byService: { chat_bot: { creditAmount: 3 } },
    byModel: {},
    byDay: {},
  });
});

test("fields that are undefined are not sent, null is", async () => {
  const service = new FakeService(charged(1));

  await client(service).charge("ada", { serviceType: "chat", creditAmount: 1, sessionId: undefined });

  assert.deepEqual(service.asked[0]?.body, { service_type: "chat", credit_amount: 1, user_id: "ada" });
});

test("a setting goes back to the environment's with null, and what is left out stays", async () => {
  const service = new FakeService(json(200, {}));
  const { admin } = client(service);

  await admin.changeSettings({ lowCreditsPercents: [20, 10] });
  await admin.changeSettings({ lowCreditsPercents: null });
  await admin.changeSettings({ corsOrigins: [], timeoutMs: 1000 });

  assert.deepEqual(
    service.asked.map(({ body }) => body),
    [{ low_credits_percents: [20, 10] }, { low_credits_percents: null }, { cors_origins: [] }],
  );
});

test("dates go as ISO 8601", async () => {
  const service = new FakeService(charged(1));
  const timestamp = new Date("2026-02-03T04:05:06Z");

  await client(service).charge("ada", { serviceType: "chat", creditAmount: 1, timestamp });

  assert.equal(service.asked[0]?.body?.timestamp, "2026-02-03T04:05:06.000Z");
});

test("every code has a class of its own, with its name", () => {
  const classes = Object.values(ERRORS_BY_CODE);

  assert.equal(new Set(classes).size, classes.length);
  for (const [code, kind] of Object.entries(ERRORS_BY_CODE)) {
    const error = errorOf(code === "overloaded" ? 503 : 409, { code, status: 409, title: "t", detail: "d" });
    assert.equal(error.constructor, kind);
    assert.equal(error.name, kind.name);
    assert.equal(error.code, code);
    assert.equal(error.message, "d");
  }
});

test("a code that is new is still a refusal, or worth a repeat", () => {
  const unknown = (status: number) => errorOf(status, { code: "new_one", status, title: "", detail: "" });

  assert.ok(unknown(409) instanceof Refused);
  assert.ok(unknown(503) instanceof TryAgain);
  assert.ok(unknown(429) instanceof TryAgain);
});

test("lists are iterated by item and by page, as often as wanted", async () => {
  const page = (id: number, next: string | null) => json(200, { items: [{ usage_id: `u${id}` }], next_cursor: next });
  const service = new FakeService(({ path }) => (path.includes("cursor=c1") ? page(2, null) : page(1, "c1")));
  const list = client(service).usage("ada", { limit: 1, from: "2026-01-01T00:00:00Z" });

  const ids = [];
  for await (const record of list) ids.push(record.usageId);
  const pages = [];
  for await (const { items, nextCursor } of list.pages()) pages.push([items.length, nextCursor]);

  assert.deepEqual(ids, ["u1", "u2"]);
  assert.deepEqual(pages, [[1, "c1"], [1, null]]);
  assert.equal(
    service.asked[1]?.path,
    "/subscription/usage?user_id=ada&limit=1&from=2026-01-01T00%3A00%3A00Z&cursor=c1",
  );
});

test("many charges have a key each, are cut into batches, and are repeated alone", async () => {
  let asked = 0;
  const service = new FakeService(({ body }) => {
    asked += 1;
    const records = body?.records as { credit_amount: number; idempotency_key: string }[];
    const results = records.map(({ credit_amount: amount }) => {
      const failing = { status: 503, problem: { code: "overloaded", status: 503, title: "", detail: "" } };
      const refused = { status: 402, problem: { code: "insufficient_credits", status: 402, title: "", detail: "" } };
      if (amount === 13 && asked < 4) return failing;
      return amount === 7 ? refused : { status: 201, record: { credit_amount: amount } };
    });
    return json(200, { results });
  });
  const charges = Array.from({ length: 2_100 }, (_, place) => ({
    userId: "ada",
    serviceType: "chat",
    creditAmount: place === 9 ? Number.NaN : place,
    ...(place === 3 ? { idempotencyKey: "own" } : {}),
  }));

  const outcomes = await client(service).chargeMany(charges, { key: "night" });

  assert.deepEqual(
    service.asked.map(({ body }) => (body?.records as unknown[]).length),
    [1_000, 1_000, 99, 1],
  );
  const keys = service.asked.flatMap(({ body }) =>
    (body?.records as { idempotency_key: string }[]).map((record) => record.idempotency_key),
  );
  assert.deepEqual([keys[0], keys[3], keys.at(-1)], ["night.0", "own", "night.13"]);
  assert.equal(outcomes.length, 2_100);
  for (const [place, outcome] of outcomes.entries()) {
    if (place === 7) assert.ok(!outcome.ok && outcome.error.code === "insufficient_credits");
    else if (place === 9) assert.ok(!outcome.ok && outcome.error.code === "invalid_request");
    else assert.ok(outcome.ok && outcome.charge.creditAmount === place);
  }
});

test("a batch is no longer than a body may be", async () => {
  const service = new FakeService(({ body }) => {
    const results = (body?.records as unknown[]).map(() => ({ status: 201, record: {} }));
    return json(200, { results });
  });
  const details = { text: "é".repeat(100_000) };
  const charges = Array(20).fill({ userId: "ada", serviceType: "chat", creditAmount: 1, details });

  const outcomes = await client(service).chargeMany(charges);

  assert.equal(outcomes.filter(({ ok }) => ok).length, 20);
  for (const { body } of service.asked) assert.ok(Buffer.byteLength(JSON.stringify(body)) < 2 ** 20);
});

test("a batch that fails as a whole is told for each charge", async () => {
  const service = new FakeService(problem(401, "unauthorized"));
  const charge = { userId: "ada", serviceType: "chat", creditAmount: 1 };

  const outcomes = await client(service).chargeMany([charge, charge]);

  assert.deepEqual(outcomes.map((outcome) => !outcome.ok && outcome.error.code), ["unauthorized", "unauthorized"]);
});

test("whether the service is ready is an answer, not an error", async () => {
  assert.equal(await client(new FakeService(json(200, { status: "ready" }))).ready(), true);
  assert.equal(await client(new FakeService(problem(503, "storage_unavailable"))).ready(), false);
  assert.equal(await client(new FakeService(new TypeError("fetch failed"))).ready(), false);
});

test("a hold says what was set aside", async () => {
  const hold = await client(new FakeService(held(20))).hold("ada", { creditAmount: 50, atLeast: 20 });

  assert.deepEqual([hold.holdId, hold.creditAmount, hold.remainingCredits, hold.queued], ["h1", 20, 70, false]);
});
