import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { credits, type CreditsHandler, type CreditsOptions, refused } from "../../src/next.js";
import { HoldingService, tooLittle } from "../holding_service.js";
import { deferred } from "../listening.js";

interface RouteContext {
  params: Promise<{ room: string }>;
}
const CONTEXT: RouteContext = { params: Promise.resolve({ room: "blue" }) };

function route(
  client: HoldingService,
  handler: CreditsHandler<Request, RouteContext>,
  options: Partial<CreditsOptions<Request>> = {},
): (init?: RequestInit) => Promise<Response> {
  const POST = credits({ client, user: "ada", hold: 20, ...options }, handler);
  return (init) => POST(new Request("http://here/chat", { method: "POST", ...init }), CONTEXT);
}

/** An error as Next's `redirect()` and `notFound()` throw it. */
function thrownByNext(digest: string): Error {
  return Object.assign(new Error(digest), { digest });
}

describe("a route handler behind credits()", () => {
  it("is given its hold and Next's context, and settled before its answer ends", async () => {
    const service = new HoldingService();
    const POST = route(service, async (request, hold, { params }) => {
      hold.report({ creditAmount: 12 });
      return Response.json({ room: (await params).room, method: request.method });
    });

    const answer = await POST();

    assert.equal(answer.headers.get("ratelimit"), '"credits";r=70;t=21600');
    assert.deepEqual(await answer.json(), { room: "blue", method: "POST" });
    assert.deepEqual(service.told, ["hold ada 20", "settle 12"]);
  });

  it("settles all that was held where nothing was reported, of a redirect, too", async () => {
    for (const answer of [() => Response.redirect("http://here/"), () => new Response("ok")]) {
      const service = new HoldingService();

      const given = await route(service, answer)();
      await given.text();

      assert.deepEqual(service.told, ["hold ada 20", "settle 20"]);
    }
  });

  it("is settled when its stream ends", async () => {
    const service = new HoldingService();
    const next = deferred();
    const POST = route(service, (_request, hold) => {
      const { readable, writable } = new TextEncoderStream();
      const writer = writable.getWriter();
      void (async () => {
        await writer.write("one ");
        await next.promise;
        hold.report({ creditAmount: 3 });
        await writer.write("two");
        await writer.close();
      })();
      return new Response(readable);
    });

    const reader = (await POST()).body?.pipeThrough(new TextDecoderStream()).getReader();
    assert.equal((await reader?.read())?.value, "one ");
    assert.deepEqual(service.told, ["hold ada 20"]);
    next.resolve();
    while (!(await reader?.read())?.done);

    assert.deepEqual(service.told, ["hold ada 20", "settle 3"]);
  });

  it("that throws releases its hold, and the error is Next's to answer", async () => {
    const service = new HoldingService();
    const POST = route(service, () => {
      throw new Error("broken");
    });

    await assert.rejects(POST(), /broken/);
    assert.deepEqual(service.told, ["hold ada 20", "release"]);
  });

  it("that redirects by throwing is settled; one that finds nothing is released", async () => {
    const ends = { "NEXT_REDIRECT;replace;/;307;": "settle 20", "NEXT_HTTP_ERROR_FALLBACK;404": "release" };
    for (const [digest, end] of Object.entries(ends)) {
      const service = new HoldingService();
      const POST = route(service, () => {
        throw thrownByNext(digest);
      });

      await assert.rejects(POST(), { digest });
      assert.deepEqual(service.told, ["hold ada 20", end]);
    }
  });

  it("whose client disconnects releases its hold, by the request's signal or its body", async () => {
    const service = new HoldingService();
    const client = new AbortController();
    const [started, aborted] = [deferred(), deferred()];
    const waiting = route(service, async (_request, hold) => {
      hold.signal.addEventListener("abort", aborted.resolve);
      started.resolve();
      await aborted.promise;
      return new Response("nobody reads it");
    })({ signal: client.signal });
    await started.promise;
    client.abort();
    await (await waiting).text();
    assert.deepEqual(service.told, ["hold ada 20", "release"]);

    const streaming = await route(service, () => new Response(new ReadableStream()))();
    await streaming.body?.cancel();
    assert.deepEqual(service.told.slice(2), ["hold ada 20", "release"]);
  });

  it("whose client is gone before it is let in is not run", async () => {
    const service = new HoldingService();
    const signal = AbortSignal.abort();

    await route(service, () => assert.fail("it ran"))({ signal });

    assert.deepEqual(service.told, ["hold ada 20", "release"]);
  });

  it("that gives an answer whose body is used up releases its hold", async () => {
    const service = new HoldingService();
    const used = new Response("read already");
    await used.text();

    await assert.rejects(route(service, () => used)());
    assert.deepEqual(service.told, ["hold ada 20", "release"]);
  });

  it("is not run where it is refused: the answer is the service's problem body", async () => {
    const service = new HoldingService(5);

    const answer = await route(service, () => assert.fail("it ran"))();

    assert.equal(answer.status, 402);
    assert.equal(answer.headers.get("content-type"), "application/problem+json");
    assert.equal(answer.headers.get("retry-after"), "21600");
    assert.equal(((await answer.json()) as { code: string }).code, "insufficient_credits");
  });

  it("may answer a refusal that it has caught itself, and nothing else", async () => {
    const answer = await refused(tooLittle(20, 5));

    assert.equal(answer.status, 402);
    assert.equal(((await answer.json()) as { required_credits: number }).required_credits, 20);
    await assert.rejects(refused(new TypeError("a defect")), /a defect/);
  });
});
