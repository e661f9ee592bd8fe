import assert from "node:assert/strict";
import { test } from "node:test";

import {
  Aborted,
  InsufficientCredits,
  InvalidRequest,
  ServiceAway,
  StorageUnavailable,
  Unauthorized,
  UnexpectedAnswer,
} from "../../src/index.js";
import { AWAY, charged, client, FakeService, json, NO_NETWORK, problem } from "../fakes.js";

const CHARGE = { serviceType: "chat", creditAmount: 30 };

test("a call is repeated with its key where nobody answers", async () => {
  const service = new FakeService(NO_NETWORK, AWAY, new Response("bad gateway", { status: 502 }), charged(30));

  const charge = await client(service).charge("ada", CHARGE);

  assert.equal(charge.creditAmount, 30);
  assert.equal(service.asked.length, 4);
  assert.equal(new Set(service.keys).size, 1);
  assert.match(service.keys[0] ?? "", /^[0-9a-f-]{36}$/);
});

test("two calls have two keys, and a key that is given is kept", async () => {
  const service = new FakeService(charged(30));
  const allotment = client(service);

  await allotment.charge("ada", CHARGE);
  await allotment.charge("ada", CHARGE);
  await allotment.charge("ada", { ...CHARGE, key: "job-17" });

  assert.equal(new Set(service.keys).size, 3);
  assert.equal(service.keys[2], "job-17");
});

for (const [status, code] of [
  [503, "overloaded"],
  [503, "storage_unavailable"],
  [500, "internal_error"],
  [408, "request_timeout"],
  [429, "rate_limited"],
] as const) {
  test(`${code} is repeated`, async () => {
    const service = new FakeService(problem(status, code), charged(30));

    await client(service).charge("ada", CHARGE);

    assert.equal(service.asked.length, 2);
  });
}

for (const [status, code] of [
  [401, "unauthorized"],
  [402, "insufficient_credits"],
  [403, "forbidden"],
  [404, "not_found"],
  [409, "hold_closed"],
  [422, "idempotency_key_reused"],
] as const) {
  test(`${code} is not repeated`, async () => {
    const service = new FakeService(problem(status, code));

    await assert.rejects(client(service).charge("ada", CHARGE), { code, status });

    assert.equal(service.asked.length, 1);
  });
}

test("Retry-After is waited for", async () => {
  const service = new FakeService(problem(429, "rate_limited", {}, { "retry-after": "1" }), charged(30));
  const began = Date.now();

  await client(service).charge("ada", CHARGE);

  assert.ok(Date.now() - began >= 1_000);
});

test("where Retry-After is longer than the call may take, the call ends at once and says it", async () => {
  const service = new FakeService(problem(503, "overloaded", {}, { "retry-after": "60" }));
  const began = Date.now();

  await assert.rejects(client(service).charge("ada", CHARGE), { code: "overloaded", retryAfterMs: 60_000 });

  assert.ok(Date.now() - began < 1_000);
  assert.equal(service.asked.length, 1);
});

test("repeats are counted, and the last failure is told with the key", async () => {
  const service = new FakeService(AWAY);

  const failed = client(service, { retries: 2 }).charge("ada", { ...CHARGE, key: "job-17" });

  await assert.rejects(failed, (error: StorageUnavailable) => {
    assert.ok(error instanceof StorageUnavailable);
    assert.equal(error.key, "job-17");
    return true;
  });
  assert.equal(service.asked.length, 3);
});

test("an attempt that hangs is given up, and another one made", async () => {
  const service = new FakeService("hangs", charged(30));

  const charge = await client(service, { attemptTimeoutMs: 50 }).charge("ada", CHARGE);

  assert.equal(charge.creditAmount, 30);
});

test("a call takes as long as it may, and no longer", async () => {
  const service = new FakeService("hangs");
  const began = Date.now();

  await assert.rejects(client(service).charge("ada", { ...CHARGE, timeoutMs: 200 }), ServiceAway);

  assert.ok(Date.now() - began < 2_000);
});

test("a signal ends a request that is under way", async () => {
  const service = new FakeService("hangs");
  const controller = new AbortController();

  const failed = client(service).charge("ada", { ...CHARGE, key: "k1", signal: controller.signal });
  setTimeout(() => controller.abort(), 20);

  await assert.rejects(failed, { name: "AbortError", code: "aborted", key: "k1" });
  assert.equal(service.asked.length, 1);
});

test("a signal ends the pause before a repeat", async () => {
  const service = new FakeService(problem(503, "overloaded", {}, { "retry-after": "20" }));
  const controller = new AbortController();
  const began = Date.now();

  const failed = client(service).charge("ada", { ...CHARGE, signal: controller.signal });
  setTimeout(() => controller.abort(), 20);

  await assert.rejects(failed, Aborted);
  assert.ok(Date.now() - began < 5_000);
});

test("a signal that was given before ends a call before it is sent or repeated", async () => {
  const service = new FakeService("hangs");

  await assert.rejects(client(service).status("ada", { signal: AbortSignal.abort() }), Aborted);
});

test("what has no key is sent again only where nothing was done", async () => {
  const lost = new FakeService(NO_NETWORK, json(200, { id: "e", endpoints: [] }));
  await assert.rejects(client(lost).admin.redeliver("e"), ServiceAway);
  assert.equal(lost.asked.length, 1);

  const full = new FakeService(problem(503, "overloaded"), json(200, { id: "e", endpoints: [] }));
  await client(full).admin.redeliver("e");
  assert.equal(full.asked.length, 2);
});

test("a page of somebody else's is told as that, and not repeated", async () => {
  for (const status of [200, 301, 404]) {
    const page = new Response(status === 301 ? null : "<html>", { status });
    const service = new FakeService(page);

    await assert.rejects(client(service).status("ada"), UnexpectedAnswer);
    assert.equal(service.asked.length, 1);
  }
});

test("an answer that is cut off counts as none", async () => {
  const cut = new Response('{"credit', { status: 201, headers: { "content-type": "application/json" } });
  const service = new FakeService(cut, charged(30));

  await client(service).charge("ada", CHARGE);

  assert.deepEqual([service.asked.length, new Set(service.keys).size], [2, 1]);
});

test("402 tells when it would pass, with the body as it came", async () => {
  const more = {
    limit: "daily",
    remaining_credits: 12,
    required_credits: 30,
    available_at: "2026-01-02T00:00:00Z",
  };
  const service = new FakeService(problem(402, "insufficient_credits", more, { "retry-after": "3600" }));

  await assert.rejects(client(service).charge("ada", CHARGE), (error: InsufficientCredits) => {
    assert.ok(error instanceof InsufficientCredits);
    assert.deepEqual(error.availableAt, new Date("2026-01-02T00:00:00Z"));
    assert.deepEqual([error.limit, error.remainingCredits, error.requiredCredits], ["daily", 12, 30]);
    assert.equal(error.retryAfterMs, 3_600_000);
    assert.equal(error.problem?.available_at, "2026-01-02T00:00:00Z");
    return true;
  });
});

test("a key that a function gives is asked for each time, and its failure is typed", async () => {
  const service = new FakeService(charged(1));
  const keys = ["one", "two"];
  const allotment = client(service, { apiKey: async () => keys.shift() ?? Promise.reject(new Error("no more")) });

  await allotment.status("ada");
  await allotment.status("ada");
  await assert.rejects(allotment.status("ada"), Unauthorized);

  const sent = service.asked.map(({ headers }) => headers.get("authorization"));
  assert.deepEqual(sent, ["Bearer one", "Bearer two"]);
});

test("what cannot be sent as it is meant is refused here, as an error and never by throwing at once", async () => {
  const service = new FakeService(charged(1));
  const allotment = client(service);
  const details: Record<string, unknown> = {};
  details.itself = details;
  const bad: (() => Promise<unknown>)[] = [
    () => allotment.charge("ada", { serviceType: "chat", creditAmount: Number.NaN }),
    () => allotment.charge("ada", { serviceType: "chat", creditAmount: 0.5 }),
    () => allotment.charge("ada", { serviceType: "chat", creditAmount: 2 ** 53 }),
    () => allotment.charge("ada", { serviceType: "chat", creditAmount: 5n as unknown as number }),
    () => allotment.charge("ada", { ...CHARGE, key: "schlüssel" }),
    () => allotment.charge("ada", { ...CHARGE, key: "" }),
    () => allotment.charge("ada", { ...CHARGE, timestamp: new Date(Number.NaN) }),
    () => allotment.charge("ada", { ...CHARGE, details }),
    () => allotment.charge("ada", { ...CHARGE, details: { deep: [{ n: Number.POSITIVE_INFINITY }] } }),
    () => allotment.charge("ada", { ...CHARGE, details: { n: 5n } }),
    () => allotment.status("\ud800"),
    () => allotment.status(undefined as unknown as string),
    () => allotment.subscriptions(".."),
    () => allotment.subscriptions(""),
    () => allotment.admin.anonymize("."),
    () => allotment.admin.history("..").pages().next(),
    () => allotment.settle("", { creditAmount: 1 }),
    () => allotment.release(".."),
    () => allotment.reverse("\udfff", { reason: "r" }),
    () => allotment.usage("ada", { from: new Date(Number.NaN) }).pages().next(),
  ];

  for (const call of bad) await assert.rejects(call(), InvalidRequest);

  assert.equal(service.asked.length, 0);
});

test("addresses and keys that cannot be used are refused when the client is made", () => {
  const service = new FakeService(charged(1));
  for (const baseUrl of ["", "credits.example", "ftp://credits.example"]) {
    assert.throws(() => client(service, { baseUrl }), InvalidRequest);
  }
  for (const apiKey of ["", "two words", "schlüssel"]) {
    assert.throws(() => client(service, { apiKey }), InvalidRequest);
  }
});

test("a key's line end and an address's last slash are left out", async () => {
  const service = new FakeService(charged(1));

  await client(service, { apiKey: "k\n", baseUrl: "https://credits.test/credits/" }).status("org/ada+1");

  assert.equal(service.asked[0]?.path, "/credits/subscription/status?user_id=org%2Fada%2B1");
  assert.equal(service.asked[0]?.headers.get("authorization"), "Bearer k");
});

for (const key of [null, "", " a", "a ", "\n"]) {
  test(`${JSON.stringify(key)} is no key`, async () => {
    const service = new FakeService(charged(30));

    await assert.rejects(
      client(service).charge("ada", { ...CHARGE, key: key as string }),
      InvalidRequest,
    );

    assert.equal(service.asked.length, 0);
  });
}

test("a function of the key that hangs takes no longer than the call may", async () => {
  const service = new FakeService(charged(30));
  const apiKey = () => new Promise<string>(() => undefined);

  await assert.rejects(client(service, { apiKey, timeoutMs: 30 }).charge("ada", CHARGE), ServiceAway);

  assert.equal(service.asked.length, 0);
});
