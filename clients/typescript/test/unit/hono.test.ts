import assert from "node:assert/strict";
import type { Server } from "node:http";
import { describe, it } from "node:test";
import { serve } from "@hono/node-server";
import { type Context, Hono } from "hono";
import { HTTPException } from "hono/http-exception";
import { streamText } from "hono/streaming";
import { ServiceAway, Unauthorized } from "../../src/errors.js";
import { credits, type CreditsEnv, type CreditsOptions } from "../../src/hono.js";
import { HoldingService } from "../holding_service.js";
import { addressOf, deferred, disconnecting } from "../listening.js";

type Handler = (c: Context<CreditsEnv>) => Response | Promise<Response>;

function serving(
  client: HoldingService,
  handler: Handler,
  options: Partial<CreditsOptions<Context>> = {},
): Hono {
  const app = new Hono();
  app.use("/chat", credits({ client, user: "ada", hold: 20, ...options }));
  app.all("/chat", handler as never);
  app.onError((error, c) =>
    error instanceof HTTPException ? error.getResponse() : c.text(`handled: ${error.message}`, 500),
  );
  return app;
}

async function listening(app: Hono): Promise<string> {
  return `${await addressOf(serve({ fetch: app.fetch, port: 0 }) as Server)}/chat`;
}

describe("a request that is let in", () => {
  it("is settled with what was reported, before its answer ends", async () => {
    const service = new HoldingService();
    const app = serving(service, (c) => {
      c.get("credits").report({ creditAmount: 12 });
      return c.json({ remaining: c.get("credits").remainingCredits });
    });

    const answer = await app.request("/chat", { method: "POST" });

    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get("content-type"), "application/json");
    assert.equal(answer.headers.get("ratelimit"), '"credits";r=70;t=21600');
    assert.equal(answer.headers.get("ratelimit-policy"), '"credits";q=100;w=86400');
    assert.deepEqual(await answer.json(), { remaining: 70 });
    assert.deepEqual(service.told, ["hold ada 20", "settle 12"]);
  });

  it("is settled when its stream ends, and not before", async () => {
    const service = new HoldingService();
    const [read, settling] = [deferred(), deferred()];
    service.gate = settling.promise;
    const app = serving(service, (c) =>
      streamText(c, async (stream) => {
        await stream.write("one ");
        await read.promise;
        await stream.write("two");
        c.get("credits").report({ creditAmount: 3 });
      }),
    );

    const answer = await app.request("/chat");
    const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader();
    assert.equal((await reader?.read())?.value, "one ");
    assert.deepEqual(service.told, ["hold ada 20"]);
    read.resolve();
    assert.equal((await reader?.read())?.value, "two");
    settling.resolve();

    assert.equal((await reader?.read())?.done, true);
    assert.deepEqual(service.told, ["hold ada 20", "settle 3"]);
  });

  it("keeps its cookies and other headers", async () => {
    const app = serving(new HoldingService(), (c) => {
      c.header("Set-Cookie", "a=1");
      c.header("Set-Cookie", "b=2", { append: true });
      return c.body("ok", 200, { "X-Own": "yes" });
    });

    const answer = await app.request("/chat");

    assert.deepEqual(answer.headers.getSetCookie(), ["a=1", "b=2"]);
    assert.equal(answer.headers.get("x-own"), "yes");
  });

  // status, what was reported, what becomes of the hold of 20
  const ENDS: [number, number | undefined, string][] = [
    [200, undefined, "settle 20"],
    [204, undefined, "settle 20"],
    [302, 12, "settle 12"],
    [400, undefined, "release"],
    [422, 12, "settle 12"],
    [500, 12, "release"],
  ];
  for (const [status, cost, end] of ENDS) {
    it(`and answered ${status} after a report of ${cost}: ${end}`, async () => {
      const service = new HoldingService();
      const app = serving(service, (c) => {
        if (cost !== undefined) c.get("credits").report({ creditAmount: cost });
        return new Response(status === 204 ? null : "x", { status });
      });

      const answer = await app.request("/chat");

      assert.equal(answer.status, status);
      await answer.text();
      assert.deepEqual(service.told, ["hold ada 20", end]);
    });
  }

  it("with HEAD is settled though nobody reads its body", async () => {
    const service = new HoldingService();
    const url = await listening(serving(service, (c) => c.text("a body")));

    assert.equal((await fetch(url, { method: "HEAD" })).status, 200);
    assert.deepEqual(service.told, ["hold ada 20", "settle 20"]);
  });
});

describe("an error", () => {
  it("in the handler releases the hold, whatever status it becomes", async () => {
    for (const error of [new Error("broken"), new HTTPException(404)]) {
      const service = new HoldingService();
      const app = serving(service, (c) => {
        c.get("credits").report({ creditAmount: 12 });
        throw error;
      });

      const answer = await app.request("/chat");

      assert.equal(answer.status, error instanceof HTTPException ? 404 : 500);
      assert.deepEqual(service.told, ["hold ada 20", "release"]);
    }
  });

  it("amid the answer's stream releases the hold", async () => {
    const service = new HoldingService();
    const app = serving(service, () => {
      const body = new ReadableStream({
        pull: (controller) => controller.error(new Error("broken")),
      });
      return new Response(body);
    });

    await assert.rejects((await app.request("/chat")).text(), /broken/);
    assert.deepEqual(service.told, ["hold ada 20", "release"]);
  });
});

describe("a client that disconnects", () => {
  it("releases its hold, and the handler's signal is aborted", async () => {
    const service = new HoldingService();
    const [started, aborted] = [deferred(), deferred()];
    const app = serving(service, async (c) => {
      c.get("credits").signal.addEventListener("abort", aborted.resolve);
      started.resolve();
      await aborted.promise;
      return c.text("nobody reads it");
    });

    await disconnecting(await listening(app), started.promise);

    await Promise.all([aborted.promise, service.toldSoMuch(2)]);
    assert.deepEqual(service.told, ["hold ada 20", "release"]);
  });

  it("amid a stream releases its hold, and ends the stream", async () => {
    const service = new HoldingService();
    const cancelled = deferred();
    const app = serving(service, (c) => {
      c.get("credits").report({ creditAmount: 7 });
      return new Response(
        new ReadableStream({
          start: (controller) => controller.enqueue(new TextEncoder().encode("a first word")),
          cancel: cancelled.resolve,
        }),
      );
    });

    await disconnecting(await listening(app));

    await Promise.all([cancelled.promise, service.toldSoMuch(2)]);
    assert.deepEqual(service.told, ["hold ada 20", "release"]);
  });

  it("settles what was reported where that is asked for", async () => {
    const service = new HoldingService();
    const handler: Handler = (c) =>
      streamText(c, async (stream) => {
        c.get("credits").report({ creditAmount: 7 });
        await stream.write("a first word");
        await new Promise<void>((resolve) => stream.onAbort(resolve));
      });

    await disconnecting(await listening(serving(service, handler, { onDisconnect: "settle" })));

    await service.toldSoMuch(2);
    assert.deepEqual(service.told, ["hold ada 20", "settle 7"]);
  });
});

describe("a request that is not let in", () => {
  it("gets a problem body: 402, 503 where nobody answers, 401 for nobody", async () => {
    const away = new HoldingService();
    away.refusal = new ServiceAway("service_away", "nobody answered");
    const cases = [
      { service: new HoldingService(5), status: 402, code: "insufficient_credits" },
      { service: away, status: 503, code: "service_away" },
      { service: new HoldingService(), status: 401, code: "unauthorized", user: () => null },
    ];
    for (const { service, status, code, ...options } of cases) {
      const answer = await serving(service, () => assert.fail("it ran"), options).request("/chat");

      assert.equal(answer.status, status);
      assert.equal(answer.headers.get("content-type"), "application/problem+json");
      assert.equal(((await answer.json()) as { code: string }).code, code);
    }
  });

  it("is an error of the application's where its key is wrong", async () => {
    const service = new HoldingService();
    service.refusal = new Unauthorized("unauthorized", "no such key");
    const answer = await serving(service, () => assert.fail("it ran")).request("/chat");

    assert.equal(answer.status, 500);
    assert.equal(await answer.text(), "handled: no such key");
  });
});
