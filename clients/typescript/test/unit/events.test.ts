import assert from "node:assert/strict";
import { test } from "node:test";

import { type EventRecord, InvalidRequest, ServiceAway } from "../../src/index.js";
import { client, FakeService, json, NO_NETWORK, problem, type Step } from "../fakes.js";

const encoder = new TextEncoder();

function text(id: number): string {
  const record = { id: `evt_${id}`, type: "usage.spike", user_id: "ada", subscription_id: null, data: { a_b: id } };
  return `id: evt_${id}\nevent: usage.spike\ndata: ${JSON.stringify(record)}\n\n`;
}

/** A stream of these pieces, which then ends, or stays open. */
function stream(pieces: string[], { ends = true } = {}): Step {
  return () => {
    const body = new ReadableStream({
      start(controller) {
        for (const piece of pieces) controller.enqueue(encoder.encode(piece));
        if (ends) controller.close();
      },
    });
    return { clone: () => new Response(body, { headers: { "content-type": "text/event-stream" } }) } as Response;
  };
}

async function first(count: number, events: AsyncIterable<EventRecord>): Promise<EventRecord[]> {
  const seen = [];
  for await (const event of events) {
    seen.push(event);
    if (seen.length === count) break;
  }
  return seen;
}

test("events come however they are cut, and comments are none", async () => {
  const whole = `retry: 1000\n\n${text(1)}: nothing new\n\n${text(2)}`;
  const service = new FakeService(stream(whole.split("")));

  const seen = await first(2, client(service).events({ types: ["usage.spike"], userId: "ada" }));

  assert.deepEqual(seen.map(({ id, userId, data }) => [id, userId, data]), [
    ["evt_1", "ada", { a_b: 1 }],
    ["evt_2", "ada", { a_b: 2 }],
  ]);
  assert.equal(service.asked[0]?.path, "/events?types=usage.spike&user_id=ada");
});

test("a stream that is refused for now is asked for again when the service said", async () => {
  const service = new FakeService(
    problem(429, "rate_limited", {}, { "retry-after": "0.4" }),
    stream([text(1)]),
  );
  const began = Date.now();

  await first(1, client(service).events());

  assert.ok(Date.now() - began >= 390);
  assert.equal(service.asked.length, 2);
});

test("where the stream ends, breaks or is refused for now, it goes on after the last event", async () => {
  const service = new FakeService(
    stream([text(1), text(2).slice(0, 10)]),
    NO_NETWORK,
    problem(503, "overloaded"),
    problem(429, "rate_limited"),
    stream([text(2), text(3)]),
  );

  const seen = await first(3, client(service).events({ after: "beginning" }));

  assert.deepEqual(seen.map(({ id }) => id), ["evt_1", "evt_2", "evt_3"]);
  assert.deepEqual(service.asked.map(({ path }) => path), [
    "/events?after=beginning",
    ...Array(4).fill("/events?after=evt_1"),
  ]);
});

test("a stream that breaks before its first event goes on where it began", async () => {
  const service = new FakeService(
    stream(["retry: 1000\nid: at_7\n\n"]),
    stream(["retry: 1000\nid: at_7\n\n", text(1)]),
  );

  const [event] = await first(1, client(service).events());

  assert.equal(event?.id, "evt_1");
  assert.deepEqual(service.asked.map(({ path }) => path), ["/events", "/events?after=at_7"]);
});

test("an event whose handling fails is not passed over", async () => {
  const service = new FakeService(stream([text(1), text(2)]));
  let last = "beginning";
  const events = client(service).events({ after: last });
  await assert.rejects(async () => {
    for await (const event of events) {
      if (event.id === "evt_2") throw new RangeError("not now");
      last = event.id;
    }
  }, RangeError);

  assert.equal(last, "evt_1");
});

test("what the service refuses ends it", async () => {
  const service = new FakeService(problem(422, "invalid_request"));

  await assert.rejects(client(service).events({ after: "evt_old" }).next(), InvalidRequest);
});

test("where nobody answers for too long it ends, and says where to go on", async () => {
  const service = new FakeService(stream([text(1)]), NO_NETWORK);
  const events = client(service).events({ awayMsMax: 50 });
  await events.next();

  await assert.rejects(events.next(), (error: ServiceAway) => {
    assert.match(error.message, /evt_1/);
    return error instanceof ServiceAway;
  });
});

test("a signal ends it, whatever it waits for", async () => {
  for (const step of [stream([text(1)], { ends: false }), NO_NETWORK, "hangs"] as Step[]) {
    const controller = new AbortController();
    const events = client(new FakeService(step)).events({ signal: controller.signal });
    setTimeout(() => controller.abort(), 30);

    const seen = [];
    for await (const event of events) seen.push(event);

    assert.ok(seen.length <= 1);
  }
});

test("a stream token is made for one user, or for the one whose token is shown", async () => {
  const told = { token: "stream_x.y", user_id: "ada", expires_at: "2026-03-10T12:01:00Z", stream_seconds: 900, after: "own_3.0" };
  const service = new FakeService(json(201, told), NO_NETWORK, json(201, told));
  const allotment = client(service);

  const made = await allotment.streamToken("ada");
  const own = await allotment.streamToken();

  assert.deepEqual(made, { token: "stream_x.y", userId: "ada", expiresAt: "2026-03-10T12:01:00Z", streamSeconds: 900, after: "own_3.0" });
  assert.deepEqual(own, made);
  assert.deepEqual(service.asked.map(({ method, path, body }) => [method, path, body]), [
    ["POST", "/events/token", { user_id: "ada" }],
    ["POST", "/events/token", {}],
    ["POST", "/events/token", {}],
  ]);
});
