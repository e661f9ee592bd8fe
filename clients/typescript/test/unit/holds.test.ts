import assert from "node:assert/strict";
import { test } from "node:test";

import { type Hold, HoldClosed, InsufficientCredits, ServiceAway } from "../../src/index.js";
import { type Asked, AWAY, charged, client, FakeService, held, NO_CONTENT, problem, type Step } from "../fakes.js";

const HOLD = { creditAmount: 20, serviceType: "chat" };

/** Answers each kind of call, unless told otherwise. */
function service(otherwise: { hold?: Step; settle?: Step; release?: Step } = {}): FakeService {
  return new FakeService(({ method, path }) => {
    if (method === "DELETE") return otherwise.release ?? NO_CONTENT;
    if (path.endsWith("/settle")) return otherwise.settle ?? charged(12);
    return otherwise.hold ?? held(20);
  });
}

const calls = (asked: Asked[]) => asked.map(({ method, path }) => `${method} ${path}`);
const PLACED = "POST /subscription/holds";
const SETTLED = "POST /subscription/holds/h1/settle";
const RELEASED = "DELETE /subscription/holds/h1";

test("what was reported is settled, under a key of its own, and the work's result is given", async () => {
  const fake = service();
  let hold: Hold | undefined;

  const text = await client(fake).holding("ada", { ...HOLD, key: "job-17" }, async (given) => {
    hold = given;
    given.report({ creditAmount: 5 });
    given.report({ creditAmount: 12, tokenCount: 900, details: { a_b: 1 } });
    return "done";
  });

  assert.equal(text, "done");
  assert.deepEqual(calls(fake.asked), [PLACED, SETTLED]);
  assert.deepEqual(fake.asked[1]?.body, { credit_amount: 12, token_count: 900, details: { a_b: 1 } });
  assert.equal(fake.keys[0], "job-17");
  assert.notEqual(fake.keys[1], "job-17");
  assert.deepEqual([hold?.state, hold?.charge?.creditAmount], ["settled", 12]);
});

test("work that reports nothing releases the hold", async () => {
  const fake = service();

  await client(fake).holding("ada", HOLD, () => "done");

  assert.deepEqual(calls(fake.asked), [PLACED, RELEASED]);
});

test("work that throws releases the hold, whatever it reported, and its error is thrown", async () => {
  const fake = service();
  const failure = new RangeError("the model is gone");

  const failed = client(fake).holding("ada", HOLD, (hold) => {
    hold.report({ creditAmount: 3 });
    throw failure;
  });

  await assert.rejects(failed, failure);
  assert.deepEqual(calls(fake.asked), [PLACED, RELEASED]);
});

test("work that throws settles what was used where that is wanted", async () => {
  const fake = service();
  const options = { ...HOLD, onError: "settle" } as const;

  const used = client(fake).holding("ada", options, (hold) => {
    hold.report({ creditAmount: 3 });
    throw new RangeError("cut off");
  });
  await assert.rejects(used, RangeError);
  assert.deepEqual(calls(fake.asked), [PLACED, SETTLED]);

  const unused = client(fake).holding("ada", options, () => Promise.reject(new RangeError("at once")));
  await assert.rejects(unused, RangeError);
  assert.deepEqual(calls(fake.asked).slice(2), [PLACED, RELEASED]);
});

test("the signal that ended the work does not end its settlement", async () => {
  const fake = service();
  const controller = new AbortController();

  const options = { ...HOLD, onError: "settle", signal: controller.signal } as const;
  const failed = client(fake).holding("ada", options, (hold) => {
    hold.report({ creditAmount: 3 });
    controller.abort();
    controller.signal.throwIfAborted();
  });

  await assert.rejects(failed, { name: "AbortError" });
  assert.deepEqual(calls(fake.asked), [PLACED, SETTLED]);
});

test("work that settles or releases by itself is left alone", async () => {
  const settling = service();
  await client(settling).holding("ada", HOLD, (hold) => hold.settle({ creditAmount: 12 }));
  assert.deepEqual(calls(settling.asked), [PLACED, SETTLED]);

  const releasing = service();
  await client(releasing).holding("ada", HOLD, (hold) => hold.release());
  assert.deepEqual(calls(releasing.asked), [PLACED, RELEASED]);
});

test("work does not begin where the hold is refused", async () => {
  const fake = service({ hold: problem(402, "insufficient_credits") });
  let begun = false;

  const failed = client(fake).holding("ada", HOLD, () => {
    begun = true;
  });

  await assert.rejects(failed, InsufficientCredits);
  assert.equal(begun, false);
});

test("a release that fails is nobody's concern: the hold expires", async () => {
  const fake = service({ release: AWAY });

  assert.equal(await client(fake, { retries: 1 }).holding("ada", HOLD, () => "done"), "done");
  assert.equal(fake.asked.length, 3);
});

test("a settlement that fails is told, with the key to repeat it", async () => {
  const fake = service({ settle: AWAY });
  const allotment = client(fake, { retries: 1 });
  const hold = await allotment.hold("ada", HOLD);

  const failed = hold.settle({ creditAmount: 12 });

  await assert.rejects(failed, (error: ServiceAway) => {
    assert.equal(error.key, fake.keys[1]);
    return true;
  });
  assert.equal(hold.state, "open");
  assert.equal(fake.keys[1], fake.keys[2]);
});

test("holds are settled and released by their ids, too", async () => {
  const fake = service({ release: problem(409, "hold_closed") });
  const allotment = client(fake);

  const charge = await allotment.settle("h1", { creditAmount: 12, key: "k1" });

  assert.equal(charge.creditAmount, 12);
  assert.equal(fake.keys[0], "k1");
  await assert.rejects(allotment.release("h1"), HoldClosed);
});

test("a release says why, where it is told", async () => {
  const fake = service();
  const hold = await client(fake).hold("ada", HOLD);

  await hold.release({ reason: "The job hangs." });
  await client(fake).release("h1");

  assert.deepEqual(fake.asked.slice(1).map(({ body }) => body), [{ reason: "The job hangs." }, undefined]);
});

test("to settle takes a cost", async () => {
  const hold = await client(service()).hold("ada", HOLD);

  await assert.rejects(hold.settle(), { code: "invalid_request" });
});

test("who would release a hold waits for a settlement that is under way", async () => {
  const fake = service({ settle: async () => (await new Promise((resolve) => setTimeout(resolve, 20)), charged(12)) });
  const hold = await client(fake).hold("ada", HOLD);

  const settling = hold.settle({ creditAmount: 12 });
  await hold.abandon();

  assert.equal((await settling).creditAmount, 12);
  assert.equal(await hold.finish(), await settling);
  assert.deepEqual(calls(fake.asked), [PLACED, SETTLED]);
});
