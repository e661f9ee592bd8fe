import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { InvalidRequest, ServiceAway, Unauthorized } from "../../src/errors.js";
import { answerOk, serving } from "../express_app.js";
import { HoldingService } from "../holding_service.js";

describe("a request that is let in", () => {
  it("is settled with what was reported, before its answer ends", async () => {
    const service = new HoldingService();
    const url = await serving(service, (request, response) => {
      request.credits.report({ creditAmount: 12 });
      response.json({ remaining: request.credits.remainingCredits });
    });

    const answer = await fetch(url, { method: "POST" });

    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get("content-length"), "16");
    assert.deepEqual(await answer.json(), { remaining: 70 });
    assert.deepEqual(service.told, ["hold ada 20", "settle 12"]);
  });

  it("is told what is left beside its hold, as the service would, and beside other limits", async () => {
    const url = await serving(new HoldingService(), answerOk);

    const answer = await fetch(url);

    assert.equal(answer.headers.get("ratelimit-policy"), '"credits";q=100;w=86400');
    assert.equal(answer.headers.get("ratelimit"), '"default";r=3;t=60, "credits";r=70;t=21600');
  });

  it("carries no such headers, and asks for no status, where they are switched off", async () => {
    const service = new HoldingService();
    service.status = () => assert.fail("it was asked for");
    const url = await serving(service, answerOk, { rateLimit: false });

    assert.equal((await fetch(url)).headers.get("ratelimit"), '"default";r=3;t=60');
  });

  it("is let in without the headers where their figures cannot be had", async () => {
    const service = new HoldingService();
    service.status = () => Promise.reject(new ServiceAway("service_away", "nobody answered"));
    const url = await serving(service, answerOk);

    const answer = await fetch(url);

    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get("ratelimit-policy"), null);
  });

  it("holds what its own functions say of it", async () => {
    const service = new HoldingService();
    const url = await serving(service, answerOk, {
      user: async (request) => request.get("x-user"),
      hold: (request) => ({ creditAmount: Number(request.query.size), atLeast: 5 }),
      service: "chat",
    });

    await fetch(`${url}?size=7`, { headers: { "x-user": "bob" } });

    assert.deepEqual(service.told, ["hold bob 7", "settle 7"]);
    assert.deepEqual(service.holds, [{ serviceType: "chat", creditAmount: 7, atLeast: 5 }]);
  });
});

describe("a request that is not let in", () => {
  it("gets 402 as the service's problem body, with when it would pass", async () => {
    const service = new HoldingService(5);
    const url = await serving(service, () => assert.fail("it ran"));

    const answer = await fetch(url);

    assert.equal(answer.status, 402);
    assert.equal(answer.headers.get("content-type"), "application/problem+json");
    assert.equal(answer.headers.get("retry-after"), "21600");
    assert.equal(answer.headers.get("ratelimit"), '"credits";r=5;t=21600');
    assert.equal(answer.headers.get("ratelimit-policy"), '"credits";q=100;w=86400');
    const problem = (await answer.json()) as Record<string, unknown>;
    assert.equal(problem.code, "insufficient_credits");
    assert.equal(problem.available_at, "2026-03-02T00:00:00Z");
    assert.equal(problem.required_credits, 20);
    assert.deepEqual(service.told, ["hold ada 20"]);
  });

  it("gets 422 with the fields that are wrong", async () => {
    const service = new HoldingService();
    const errors = [{ field: "user_id", message: "it has spaces" }];
    const problem = { title: "Not valid", status: 422, detail: "x", code: "invalid_request", errors };
    service.refusal = new InvalidRequest("invalid_request", "x", { problem });
    const url = await serving(service, () => assert.fail("it ran"));

    const answer = await fetch(url);

    assert.equal(answer.status, 422);
    assert.deepEqual(await answer.json(), problem);
  });

  it("gets 503 where nobody answers, with when to try again", async () => {
    const service = new HoldingService();
    service.refusal = new ServiceAway("service_away", "connect ECONNREFUSED 10.0.0.7:8000");
    const url = await serving(service, () => assert.fail("it ran"));

    const answer = await fetch(url);

    assert.equal(answer.status, 503);
    assert.equal(answer.headers.get("content-type"), "application/problem+json");
    assert.equal(answer.headers.get("retry-after"), "1");
    const told = await answer.text();
    assert.equal(JSON.parse(told).code, "service_away");
    assert.ok(!told.includes("10.0.0.7"), "where the service is does not concern users");
  });

  it("gets 401 where nobody is signed in", async () => {
    const service = new HoldingService();
    const url = await serving(service, () => assert.fail("it ran"), { user: () => undefined });

    const answer = await fetch(url);

    assert.equal(answer.status, 401);
    assert.equal(((await answer.json()) as { code: string }).code, "unauthorized");
    assert.deepEqual(service.told, []);
  });

  it("is an error of the application's where its key is wrong, or its own function fails", async () => {
    const service = new HoldingService();
    const problem = { title: "Who?", status: 401, detail: "no such key", code: "unauthorized" };
    service.refusal = new Unauthorized("unauthorized", "no such key", { problem });
    const wrongKey = await serving(service, () => assert.fail("it ran"));
    const broken = await serving(service, () => assert.fail("it ran"), {
      user: () => {
        throw new TypeError("no session");
      },
    });

    for (const url of [wrongKey, broken]) {
      const answer = await fetch(url);
      assert.equal(answer.status, 500);
      assert.match(((await answer.json()) as { handled: string }).handled, /no such key|no session/);
    }
  });
});
