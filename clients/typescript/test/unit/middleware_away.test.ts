import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { generateText, wrapLanguageModel } from "ai";
import { creditsMiddleware } from "../../src/ai.js";
import { ServiceAway } from "../../src/errors.js";
import { credits, type CreditsOptions } from "../../src/next.js";
import { charged, client, FakeService, held, NO_NETWORK, until } from "../fakes.js";
import { generating, PROMPT } from "../models.js";

const away = { retryMs: 1, onUnsent: () => {} };

function answering(service: CreditsOptions<Request>["client"]): Promise<Response> {
  const options = { client: service, user: "ada", hold: 20, service: "chat" };
  const POST = credits(options, (_request, hold) => {
    hold.report({ creditAmount: 12 });
    return new Response(hold.queued ? "let in" : "held for");
  });
  return POST(new Request("http://here/chat", { method: "POST" }), undefined);
}

describe("while nobody answers", () => {
  it("a route refuses, unless its client allows", async () => {
    const service = new FakeService(NO_NETWORK);

    const refused = await answering(client(service, { retries: 0 }));
    assert.equal(refused.status, 503);

    const patient = client(service, { whenAway: "allow", retries: 0, away });
    const allowed = await answering(patient);
    assert.equal(allowed.headers.get("ratelimit"), null);
    assert.equal(await allowed.text(), "let in");
    await patient.close({ timeoutMs: 0 });
  });

  it("what a client allows is charged later, once", async () => {
    const service = new FakeService(NO_NETWORK);
    const patient = client(service, { whenAway: "allow", retries: 0, away });
    await (await answering(patient)).text();
    const asked = service.asked.length;

    service.become(({ path }) => (path.endsWith("/holds") ? held(20) : charged(12)));
    await until(() => patient.waiting.length === 0);

    const bodies = service.asked.slice(asked).map(({ path, body }) => [path, body?.credit_amount]);
    const settled = bodies.filter(([path]) => path === "/subscription/holds/h1/settle");
    assert.deepEqual(settled, [["/subscription/holds/h1/settle", 12]]);
  });

  it("a model is not called, unless its client allows", async () => {
    const service = new FakeService(NO_NETWORK);
    const asking = (by: Parameters<typeof creditsMiddleware>[0]["client"]) => {
      const middleware = creditsMiddleware({ client: by, user: "ada", hold: 20, credits: () => 3 });
      return generateText({
        model: wrapLanguageModel({ model: generating(), middleware }),
        prompt: PROMPT,
      });
    };

    await assert.rejects(asking(client(service, { retries: 0 })), ServiceAway);
    const patient = client(service, { whenAway: "allow", retries: 0, away });
    assert.equal((await asking(patient)).text, "Hello");
    assert.equal(patient.waiting[0]?.charge?.creditAmount, 3);
    await patient.close({ timeoutMs: 0 });
  });
});
