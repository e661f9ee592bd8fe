import assert from "node:assert/strict";
import { test } from "node:test";

import {
  type AwayOptions,
  HoldClosed,
  InsufficientCredits,
  QueueFull,
  RateLimited,
  type Sent,
  type Unsent,
} from "../../src/index.js";
import {
  type Asked,
  AWAY,
  charged,
  client,
  FakeService,
  held,
  NO_CONTENT,
  NO_NETWORK,
  problem,
  until,
} from "../fakes.js";

const CHARGE = { serviceType: "chat", creditAmount: 1 };
const HOLD = { creditAmount: 20, serviceType: "chat", modelUsed: "m", details: { a_b: 1 } };

/** A client that allows, and what it told. */
function allowing(service: FakeService, away: AwayOptions = {}) {
  const sent: Sent[] = [];
  const unsent: Unsent[] = [];
  const listeners = { onSent: (one: Sent) => sent.push(one), onUnsent: (one: Unsent) => unsent.push(one) };
  const options = { patienceMs: 50, retryMs: 10, ...listeners, ...away };
  return { allotment: client<"allow">(service, { whenAway: "allow", away: options }), sent, unsent };
}

/** What the service has charged: each key once, however often it came. */
function ledger(asked: Asked[]): Map<string, number> {
  const charges = asked.filter(({ path }) => path === "/subscription/usage");
  return new Map(charges.map(({ key, body }) => [String(key), Number(body?.credit_amount)]));
}

test("while nobody answers charges are allowed, and later each is sent once, under its key", async () => {
  const service = new FakeService(NO_NETWORK);
  const { allotment, sent, unsent } = allowing(service);

  const answers = await Promise.all(Array.from({ length: 200 }, () => allotment.charge("ada", CHARGE)));
  const keys = answers.map((answer) => ("queued" in answer ? answer.key : ""));
  assert.equal(new Set(keys).size, 200);
  assert.equal(allotment.waiting.length, 200);
  const before = service.asked.length;

  service.become(charged(1));
  await until(() => allotment.waiting.length === 0);

  assert.deepEqual([...ledger(service.asked.slice(before)).keys()].sort(), keys.sort());
  assert.equal(service.asked.length, before + 200);
  assert.deepEqual([sent.length, unsent.length], [200, 0]);
});

test("once somebody answered, calls are asked again, and refused again", async () => {
  const service = new FakeService(NO_NETWORK);
  const { allotment } = allowing(service);
  await allotment.charge("ada", CHARGE);
  service.become(charged(1));
  await until(() => allotment.waiting.length === 0);

  service.become(problem(402, "insufficient_credits"));

  await assert.rejects(allotment.charge("ada", CHARGE), InsufficientCredits);
});

test("while it is known that nobody answers, calls do not wait to find out", async () => {
  const service = new FakeService("hangs");
  const { allotment } = allowing(service, { patienceMs: 100, retryMs: 60_000 });
  await allotment.charge("ada", CHARGE);
  const began = Date.now();

  for (let count = 0; count < 50; count += 1) await allotment.charge("ada", CHARGE);
  await allotment.chargeMany(Array(50).fill({ userId: "ada", ...CHARGE }));

  assert.ok(Date.now() - began < 1_000);
  assert.equal(allotment.waiting.length, 101);
  service.become(charged(1));
  assert.deepEqual(await allotment.flush(), { sent: 101, unsent: [], waiting: 0 });
});

test("what is refused later is reported, once, and holds nothing up", async () => {
  const service = new FakeService(NO_NETWORK);
  const { allotment, sent, unsent } = allowing(service);
  for (const creditAmount of [1, 7, 2]) await allotment.charge("ada", { ...CHARGE, creditAmount });

  service.become(({ body }) =>
    body?.credit_amount === 7 ? problem(402, "insufficient_credits") : charged(1),
  );
  await until(() => allotment.waiting.length === 0);

  assert.equal(sent.length, 2);
  assert.deepEqual(unsent.map(({ queued }) => queued.charge?.creditAmount), [7]);
  assert.ok(unsent[0]?.error instanceof InsufficientCredits);
});

test("a call that fails by itself keeps nobody else from being asked", async () => {
  const service = new FakeService(({ body }) =>
    body?.credit_amount === 13 ? problem(500, "internal_error") : charged(1),
  );
  const { allotment } = allowing(service, { retryMs: 5 });

  await allotment.charge("ada", { ...CHARGE, creditAmount: 13 });
  await until(() => (allotment.waiting[0]?.attempts ?? 0) > 1);

  const answer = await allotment.charge("ada", CHARGE);
  assert.ok(!("queued" in answer));
  assert.equal(allotment.waiting.length, 1);
  await allotment.close({ timeoutMs: 10 });
});

test("what is full refuses", async () => {
  const service = new FakeService(NO_NETWORK);
  const { allotment } = allowing(service, { queueMax: 2, retryMs: 60_000 });
  await allotment.charge("ada", CHARGE);
  await allotment.charge("ada", CHARGE);

  await assert.rejects(allotment.charge("ada", CHARGE), QueueFull);
  await assert.rejects(allotment.hold("ada", HOLD), QueueFull);
  const outcomes = await allotment.chargeMany([{ userId: "ada", ...CHARGE }]);
  assert.ok(!outcomes[0]?.ok && outcomes[0]?.error instanceof QueueFull);

  await allotment.close({ timeoutMs: 0 });
});

test("a caller beyond its rate is not allowed more", async () => {
  const service = new FakeService(problem(429, "rate_limited"));

  await assert.rejects(allowing(service).allotment.charge("ada", CHARGE), RateLimited);
});

test("who closes is told what could not be sent, and is allowed no more", async () => {
  const service = new FakeService(AWAY);
  const { allotment, unsent } = allowing(service);
  for (let count = 0; count < 3; count += 1) await allotment.charge("ada", CHARGE);

  const report = await allotment.close({ timeoutMs: 100 });

  assert.equal(report.unsent.length, 3);
  assert.deepEqual(unsent, report.unsent);
  assert.equal(report.waiting, 0);
  await assert.rejects(allotment.charge("ada", CHARGE), QueueFull);
});

test("who closes waits for what can be sent", async () => {
  const service = new FakeService(NO_NETWORK);
  const { allotment } = allowing(service, { retryMs: 5 });
  for (let count = 0; count < 3; count += 1) await allotment.charge("ada", CHARGE);
  setTimeout(() => service.become(charged(1)), 100);

  assert.deepEqual(await allotment.close(), { sent: 3, unsent: [], waiting: 0 });
});

test("what waits too long is reported", async () => {
  const service = new FakeService(NO_NETWORK);
  const { allotment, unsent } = allowing(service, { keepMs: 30 });
  for (let count = 0; count < 3; count += 1) await allotment.charge("ada", CHARGE);

  await until(() => unsent.length === 3);

  assert.equal(allotment.waiting.length, 0);
});

test("a listener that fails does not stop the sending", async (context) => {
  context.mock.method(console, "error", () => undefined);
  const service = new FakeService(NO_NETWORK);
  const onSent = () => {
    throw new Error("not now");
  };
  const { allotment } = allowing(service, { onSent });
  for (let count = 0; count < 3; count += 1) await allotment.charge("ada", CHARGE);

  service.become(charged(1));

  await until(() => allotment.waiting.length === 0);
});

test("many charges wait one by one, under the keys they were sent with", async () => {
  const service = new FakeService(NO_NETWORK);
  const { allotment } = allowing(service);

  const outcomes = await allotment.chargeMany([{ userId: "ada", ...CHARGE }, { userId: "bob", ...CHARGE }], {
    key: "night",
  });
  assert.ok(outcomes.every((outcome) => outcome.ok && "queued" in outcome.charge));

  service.become(charged(1));
  await until(() => allotment.waiting.length === 0);
  assert.deepEqual([...ledger(service.asked).keys()], ["night.0", "night.1"]);
});

test("work is done under a hold that nobody made, and its cost is charged later, as far as it is there", async () => {
  const service = new FakeService(NO_NETWORK);
  const { allotment } = allowing(service, { retryMs: 60_000 });
  await allotment.charge("ada", CHARGE); // From now on it is known that nobody answers.

  await allotment.holding("ada", HOLD, (hold) => {
    assert.deepEqual([hold.queued, hold.holdId, hold.creditAmount], [true, null, 20]);
    hold.report({ creditAmount: 12, tokenCount: 900 });
  });
  await allotment.holding("ada", HOLD, () => "nothing used");

  service.become(charged(12));
  await allotment.flush();
  const last = service.asked.at(-1);
  assert.equal(last?.path, "/subscription/usage");
  assert.deepEqual(last?.body, {
    user_id: "ada",
    service_type: "chat",
    credit_amount: 12,
    token_count: 900,
    model_used: "m",
    details: { a_b: 1 },
    on_insufficient: "cap",
  });
  assert.equal(service.asked.filter(({ body }) => body?.credit_amount === 12).length, 1);
});

test("tokens by kind are charged later as they were told, and not as the hold had counted", async () => {
  const service = new FakeService(NO_NETWORK);
  const { allotment } = allowing(service);
  const tokens = { input: 700, cacheRead: 200 };

  const charge = await allotment.charge("ada", { serviceType: "chat", tokens });
  assert.equal("queued" in charge && charge.tokenCount, 900);
  await allotment.holding("ada", { ...HOLD, tokenCount: 5 }, (hold) => hold.report({ tokens }));

  service.become(charged(12));
  await allotment.flush();
  const bodies = service.asked.flatMap(({ body }) => (body?.tokens ? [body] : [])).slice(-2);
  for (const body of bodies) {
    assert.deepEqual([body.tokens, body.token_count], [{ input: 700, cache_read: 200 }, undefined]);
  }
  assert.equal(bodies.length, 2);
});

test("a hold whose answer was lost is found again by its key, and settled", async () => {
  const service = new FakeService(NO_NETWORK);
  const { allotment } = allowing(service);

  await allotment.holding("ada", { ...HOLD, key: "job-17" }, (hold) => hold.report({ creditAmount: 12 }));
  const first = service.asked[0];
  const before = service.asked.length;
  service.become(({ path }) => (path.endsWith("/settle") ? charged(12) : held(20)));
  await until(() => allotment.waiting.length === 0);

  const [placed, settled] = service.asked.slice(before);
  assert.deepEqual([placed?.key, placed?.body], ["job-17", first?.body]);
  assert.equal(settled?.path, "/subscription/holds/h1/settle");
  assert.equal(service.asked.length, before + 2);
});

test("a hold whose answer was lost, and that was never made, becomes a charge", async () => {
  const service = new FakeService(NO_NETWORK);
  const { allotment, unsent } = allowing(service);

  await allotment.holding("ada", HOLD, (hold) => hold.report({ creditAmount: 12 }));
  service.become(({ path }) =>
    path.endsWith("/holds") ? problem(402, "insufficient_credits") : charged(5, { uncovered_credits: 7 }),
  );
  await until(() => allotment.waiting.length === 0);

  assert.equal(service.asked.at(-1)?.path, "/subscription/usage");
  assert.equal(service.asked.at(-1)?.body?.on_insufficient, "cap");
  assert.equal(unsent.length, 0);
});

test("a hold whose answer was lost, and that nobody needs, is released", async () => {
  const service = new FakeService(NO_NETWORK);
  const { allotment } = allowing(service);

  const failed = allotment.holding("ada", HOLD, () => Promise.reject(new RangeError("no")));
  await assert.rejects(failed, RangeError);
  service.become(({ method }) => (method === "DELETE" ? NO_CONTENT : held(20)));
  await until(() => allotment.waiting.length === 0);

  assert.deepEqual([service.asked.at(-1)?.method, service.asked.at(-1)?.path], ["DELETE", "/subscription/holds/h1"]);
});

test("a settlement that nobody answers waits, under its key", async () => {
  const service = new FakeService(held(20));
  const { allotment } = allowing(service);
  const hold = await allotment.hold("ada", HOLD);
  service.become(NO_NETWORK);

  const answer = await allotment.settle(hold, { creditAmount: 12, key: "k1" });
  assert.ok("queued" in answer && answer.key === "k1");
  service.become(charged(12));
  await until(() => allotment.waiting.length === 0);

  assert.deepEqual([service.asked.at(-1)?.path, service.keys.at(-1)], ["/subscription/holds/h1/settle", "k1"]);
});

test("a settlement that comes too late is reported, and not charged another way", async () => {
  const service = new FakeService(held(20));
  const { allotment, unsent } = allowing(service);
  const hold = await allotment.hold("ada", HOLD);
  service.become(NO_NETWORK);
  await hold.settle({ creditAmount: 12 });

  service.become(problem(409, "hold_closed"));
  await until(() => unsent.length === 1);

  assert.ok(unsent[0]?.error instanceof HoldClosed);
  assert.equal(allotment.waiting.length, 0);
});

test("a hold that is released while nobody answers expires by itself", async () => {
  const service = new FakeService(held(20));
  const { allotment } = allowing(service);
  const hold = await allotment.hold("ada", HOLD);
  service.become(NO_NETWORK);

  await hold.release();

  assert.equal(hold.state, "released");
  assert.equal(allotment.waiting.length, 0);
});

test("without a listener what could not be charged is written on the console", async (context) => {
  const said = context.mock.method(console, "error", () => undefined);
  const service = new FakeService(NO_NETWORK);
  const options = { patienceMs: 20, retryMs: 5 };
  const allotment = client<"allow">(service, { whenAway: "allow", away: options });
  await allotment.charge("ada", { ...CHARGE, key: "job-17" });

  service.become(problem(402, "insufficient_credits"));
  await until(() => allotment.waiting.length === 0);

  assert.match(String(said.mock.calls[0]?.arguments[0]), /ada.*job-17/);
});

test("a hold that nobody made is charged once, whoever settles it", async () => {
  const service = new FakeService(NO_NETWORK);
  const { allotment } = allowing(service, { retryMs: 60_000 });
  await allotment.charge("ada", CHARGE); // From now on it is known that nobody answers.

  const hold = await allotment.hold("ada", HOLD);
  void hold.settle({ creditAmount: 12 }); // A handler that does not wait.
  await hold.finish();
  await assert.rejects(hold.settle({ creditAmount: 12 }), HoldClosed);
  const released = await allotment.hold("ada", HOLD);
  await released.release();
  await assert.rejects(released.settle({ creditAmount: 12 }), HoldClosed);

  assert.deepEqual(allotment.waiting.map(({ charge }) => charge?.creditAmount), [1, 12]);
  service.become(charged(1));
  await allotment.close();
});

test("what says nothing of a charge leaves it waiting", async () => {
  const notFound = new Response("<html>", { status: 404, headers: { "content-type": "text/html" } });
  const service = new FakeService(NO_NETWORK);
  const { allotment, unsent } = allowing(service, { retryMs: 5 });
  for (let count = 0; count < 3; count += 1) await allotment.charge("ada", CHARGE);

  for (const step of [notFound, problem(401, "unauthorized"), problem(403, "forbidden")]) {
    service.become(step);
    const before = service.asked.length;
    await until(() => service.asked.length > before + 1);
  }

  assert.deepEqual([allotment.waiting.length, unsent.length], [3, 0]);
  service.become(charged(1));
  assert.equal((await allotment.close()).sent, 3);
});

test("a hold that may have been made is not charged another way while its maker is refused", async () => {
  const service = new FakeService(NO_NETWORK);
  const { allotment } = allowing(service, { retryMs: 5 });
  await allotment.holding("ada", HOLD, (hold) => hold.report({ creditAmount: 12 }));

  service.become(problem(401, "unauthorized"));
  const before = service.asked.length;
  await until(() => service.asked.length > before + 1);

  assert.ok(service.asked.every(({ path }) => path === "/subscription/holds"));
  service.become(({ path }) => (path.endsWith("/settle") ? charged(12) : held(20)));
  assert.equal((await allotment.close()).sent, 1);
});

test("one user for whom the service cannot decide holds up nobody else", async () => {
  const decide = ({ body }: Asked) => {
    if (body?.user_id === "ada") return AWAY;
    return body?.credit_amount === 13 ? problem(402, "insufficient_credits") : charged(1);
  };
  const service = new FakeService(decide);
  const { allotment } = allowing(service, { retryMs: 60_000 });
  await allotment.charge("ada", CHARGE);
  const asked = service.asked.length;

  assert.ok("queued" in (await allotment.charge("ada", CHARGE)));
  assert.equal(service.asked.length, asked, "it is known that nobody decides for her");
  await assert.rejects(allotment.charge("bob", { ...CHARGE, creditAmount: 13 }), InsufficientCredits);
  service.become(NO_NETWORK);
  await allotment.charge("bob", CHARGE);
  service.become(decide);

  const { sent, waiting } = await allotment.flush();
  assert.deepEqual([sent, waiting], [1, 2]);
  assert.ok(allotment.waiting.every(({ userId }) => userId === "ada"));
  await allotment.close({ timeoutMs: 0 });
});

test("where the service decides for nobody, whoever comes is asked for once", async () => {
  const decide = ({ body }: Asked) => (body?.user_id === "eve" ? charged(1) : AWAY);
  const service = new FakeService(decide);
  const { allotment } = allowing(service, { patienceMs: 400, retryMs: 60_000 });
  await Promise.all(["ada", "bob", "cyd"].map((user) => allotment.charge(user, CHARGE)));
  const asked = service.asked.length;
  assert.ok(asked > 3, "the first were asked for again and again");

  assert.ok("queued" in (await allotment.charge("dan", CHARGE)));
  assert.equal(service.asked.length, asked + 1);
  assert.ok(!("queued" in (await allotment.charge("eve", CHARGE))), "she is asked for all the same");

  service.become(held(20), NO_CONTENT);
  await (await allotment.hold("eve", HOLD)).release();
  assert.equal(service.asked.at(-1)?.body, undefined);
  await allotment.close({ timeoutMs: 0 });
});

test("what fails by itself is given up, too", async () => {
  const service = new FakeService(problem(500, "internal_error"));
  const { allotment, unsent } = allowing(service, { retryMs: 5, keepMs: 30 });

  await allotment.charge("ada", CHARGE);

  await until(() => unsent.length === 1);
  assert.equal(allotment.waiting.length, 0);
});

test("who closes waits no longer than told for a service that hangs", async () => {
  const service = new FakeService(NO_NETWORK);
  const { allotment } = allowing(service, { retryMs: 5 });
  await allotment.charge("ada", CHARGE);
  service.become("hangs");
  const before = service.asked.length;
  await until(() => service.asked.length > before);
  const began = Date.now();

  const flushed = await allotment.flush({ timeoutMs: 50 });
  const report = await allotment.close({ timeoutMs: 50 });

  assert.deepEqual([flushed.waiting, report.unsent.length], [1, 1]);
  assert.ok(Date.now() - began < 5_000);
});

test("a user whose charge was refused is asked for again, though others wait", async () => {
  const service = new FakeService(AWAY);
  const { allotment, unsent } = allowing(service, { retryMs: 60_000 });
  await allotment.charge("ada", CHARGE);
  await allotment.charge("bob", CHARGE);
  service.become(({ body }) => (body?.user_id === "bob" ? AWAY : problem(402, "insufficient_credits")));

  await allotment.flush();

  assert.deepEqual([unsent.length, allotment.waiting.length], [1, 1]);
  await assert.rejects(allotment.charge("ada", CHARGE), InsufficientCredits);
  await allotment.close({ timeoutMs: 0 });
});
