import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { credits } from "../../src/next.js";
import { charged, client, FakeService, held, json, NO_CONTENT, NO_NETWORK } from "../fakes.js";

/** A runtime that ends what it was not told to wait for. */
class Runtime {
  readonly work: Promise<void>[] = [];
  readonly waitUntil = (work: Promise<void>) => void this.work.push(work);

  /** Wait for all that it was told, as it comes. */
  async ended(): Promise<void> {
    for (let done = 0; done < this.work.length; done += 1) await this.work[done];
  }
}

describe("a runtime that ends with the answer", () => {
  it("waits for a charge that its answer did not wait for", async () => {
    const runtime = new Runtime();
    let settle = () => {};
    const settling = new Promise<void>((resolve) => (settle = resolve));
    const service = new FakeService(async ({ path }) => {
      if (!path.endsWith("/settle")) return held(20);
      await settling;
      return charged(12);
    });
    const by = client(service, { waitUntil: runtime.waitUntil });
    const options = { client: by, user: "ada", hold: 20, rateLimit: false, patienceMs: 1 };
    const POST = credits(options, (_request, hold) => {
      hold.report({ creditAmount: 12 });
      return new Response("Hello");
    });

    await (await POST(new Request("http://here/", { method: "POST" }), undefined)).text();

    const ends: string[] = ["answered"];
    const ended = runtime.ended().then(() => ends.push("ended"));
    setTimeout(() => {
      ends.push("charged");
      settle();
    }, 20);
    await ended;
    assert.deepEqual(ends, ["answered", "charged", "ended"]);
    assert.equal(service.asked.at(-1)?.path, "/subscription/holds/h1/settle");
  });

  it("waits for every write, refused or not, and for no read", async () => {
    const runtime = new Runtime();
    const service = new FakeService(json(200, {}), held(20), NO_CONTENT, NO_NETWORK);
    const by = client(service, { waitUntil: runtime.waitUntil, retries: 0 });

    await by.status("ada");
    assert.equal(runtime.work.length, 0);
    await (await by.hold("ada", { creditAmount: 20 })).release();
    await assert.rejects(by.charge("ada", { serviceType: "chat", creditAmount: 1 }));

    assert.equal(runtime.work.length, 3);
    await runtime.ended();
  });

  it("waits for what was allowed while nobody answered", async () => {
    const runtime = new Runtime();
    const service = new FakeService(NO_NETWORK);
    const away = { retryMs: 1, patienceMs: 50 };
    const by = client(service, { waitUntil: runtime.waitUntil, whenAway: "allow", retries: 0, away });
    await by.charge("ada", { serviceType: "chat", creditAmount: 1 });

    service.become(charged(1));
    await runtime.ended();

    assert.equal(by.waiting.length, 0);
  });

  it("does not fail a call by refusing to wait", async () => {
    const waitUntil = () => {
      throw new Error("outside of a request");
    };
    const by = client(new FakeService(charged(1)), { waitUntil });

    assert.equal((await by.charge("ada", { serviceType: "chat", creditAmount: 1 })).creditAmount, 1);
  });
});
