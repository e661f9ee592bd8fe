import assert from "node:assert/strict";
import { once } from "node:events";
import { pipeline, Readable } from "node:stream";
import { describe, it } from "node:test";
import express, { type RequestHandler } from "express";
import { InternalError } from "../../src/errors.js";
import { credits } from "../../src/express.js";
import { answerOk, serving } from "../express_app.js";
import { HoldingService } from "../holding_service.js";
import { addressOf, deferred, disconnecting } from "../listening.js";

describe("the end of an answer", () => {
  // status, what was reported, what becomes of the hold of 20
  const ENDS: [number, number | undefined, string][] = [
    [200, undefined, "settle 20"],
    [201, 0, "settle 0"],
    [304, 12, "settle 12"],
    [302, undefined, "settle 20"],
    [400, undefined, "release"],
    [422, 12, "settle 12"],
    [500, undefined, "release"],
    [503, 12, "release"],
  ];
  for (const [status, cost, end] of ENDS) {
    it(`${status} after a report of ${cost}: ${end}`, async () => {
      const service = new HoldingService();
      const url = await serving(service, (request, response) => {
        if (cost !== undefined) request.credits.report({ creditAmount: cost });
        response.status(status).end();
      });

      const answer = await fetch(url, { redirect: "manual" });

      assert.equal(answer.status, status);
      assert.deepEqual(service.told, ["hold ada 20", end]);
    });
  }

  it("is the answer's own, for texts, buffers, no body and HEAD", async () => {
    const url = await serving(new HoldingService(1000), (request, response) => {
      const { kind } = request.query;
      if (kind === "text") response.end("grüße", "latin1");
      else if (kind === "buffer") response.end(Buffer.from("bytes"));
      else response.end();
    });
    const lengthOf = async (kind: string, method = "GET") => {
      const answer = await fetch(`${url}?kind=${kind}`, { method });
      const bytes = (await answer.arrayBuffer()).byteLength;
      return [answer.headers.get("content-length"), bytes];
    };

    assert.deepEqual(await lengthOf("text"), ["5", 5]);
    assert.deepEqual(await lengthOf("buffer"), ["5", 5]);
    assert.deepEqual(await lengthOf("none"), ["0", 0]);
    assert.deepEqual(await lengthOf("text", "HEAD"), [null, 0]);
  });

  it("waits for the charge, and what streams before it does not", async () => {
    const service = new HoldingService();
    const settling = deferred();
    service.gate = settling.promise;
    const url = await serving(service, (request, response) => {
      pipeline(Readable.from(["one ", "two"]), response, () => {});
      request.credits.report({ creditAmount: 3 });
    });

    const reader = (await fetch(url)).body?.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    while (reader && text !== "one two") text += (await reader.read()).value ?? "";
    assert.deepEqual(service.told, ["hold ada 20"]);
    settling.resolve();

    assert.equal((await reader?.read())?.done, true);
    assert.deepEqual(service.told, ["hold ada 20", "settle 3"]);
  });

  it("is given once, though the handler ends twice", async () => {
    const service = new HoldingService();
    const url = await serving(service, (_request, response) => {
      response.send("given");
      response.end("twice");
    });

    assert.equal(await (await fetch(url)).text(), "given");
    assert.deepEqual(service.told, ["hold ada 20", "settle 20"]);
  });

  it("is what counts, though the handler fails after it", async () => {
    const service = new HoldingService();
    const settling = deferred();
    service.gate = settling.promise;
    const url = await serving(service, (_request, response) => {
      response.once("close", settling.resolve); // Express breaks the connection.
      response.send("given");
      throw new Error("too late");
    });

    await assert.rejects(fetch(url));

    await service.toldSoMuch(2);
    assert.deepEqual(service.told, ["hold ada 20", "settle 20"]);
  });

  it("comes though the hold cannot be settled, and the application is told", async () => {
    const service = new HoldingService();
    service.settleRefusal = new InternalError("internal_error", "a defect");
    const unsettled: unknown[] = [];
    const url = await serving(service, answerOk, {
      onUnsettled: (error, hold) => {
        unsettled.push(error, hold.holdId);
        throw new Error("a listener's own fault");
      },
    });

    assert.equal(await (await fetch(url)).text(), "ok");
    assert.deepEqual(unsettled, [service.settleRefusal, "h-1"]);
  });

  it("waits no longer than told for a charge that takes long, which is made all the same", async () => {
    const service = new HoldingService();
    const settling = deferred();
    service.gate = settling.promise;
    const url = await serving(service, answerOk, { patienceMs: 5 });

    assert.equal(await (await fetch(url)).text(), "ok");
    assert.deepEqual(service.told, ["hold ada 20"]);
    settling.resolve();

    await service.toldSoMuch(2);
    assert.deepEqual(service.told, ["hold ada 20", "settle 20"]);
  });

  it("charges nothing more where the handler has settled or released by itself", async () => {
    const service = new HoldingService();
    const url = await serving(service, async (request, response) => {
      await request.credits.settle({ creditAmount: 4 });
      response.send("ok");
    });

    await (await fetch(url)).text();

    assert.deepEqual(service.told, ["hold ada 20", "settle 4"]);
  });
});

describe("an error in the handler", () => {
  it("releases the hold, whatever was reported", async () => {
    const service = new HoldingService();
    const url = await serving(service, async (request) => {
      request.credits.report({ creditAmount: 12 });
      throw new Error("broken");
    });

    assert.equal((await fetch(url)).status, 500);
    assert.deepEqual(service.told, ["hold ada 20", "release"]);
  });

  it("releases the hold amid a stream, too", async () => {
    const service = new HoldingService();
    const url = await serving(service, async (_request, response) => {
      response.write("half of it");
      throw new Error("broken");
    });

    await assert.rejects(async () => (await fetch(url)).text());
    await service.toldSoMuch(2);
    assert.deepEqual(service.told, ["hold ada 20", "release"]);
  });
});

describe("a client that disconnects", () => {
  it("releases its hold, and the handler's signal is aborted", async () => {
    const service = new HoldingService();
    const [started, aborted, ended] = [deferred(), deferred(), deferred()];
    const url = await serving(service, async (request, response) => {
      request.credits.signal.addEventListener("abort", aborted.resolve);
      started.resolve();
      await aborted.promise;
      response.send("nobody reads it");
      ended.resolve();
    });

    await disconnecting(url, started.promise);

    await Promise.all([ended.promise, service.toldSoMuch(2)]);
    assert.deepEqual(service.told, ["hold ada 20", "release"]);
  });

  it("releases its hold amid a stream, though something was reported", async () => {
    const service = new HoldingService();
    const url = await serving(service, (request, response) => {
      request.credits.report({ creditAmount: 7 });
      response.write("a first word");
    });

    await disconnecting(url);

    await service.toldSoMuch(2);
    assert.deepEqual(service.told, ["hold ada 20", "release"]);
  });

  it("settles what was reported where that is asked for, by the signal's listeners, too", async () => {
    const service = new HoldingService();
    const handler: RequestHandler = (request, response) => {
      const { credits: hold } = request;
      hold.signal.addEventListener("abort", () => hold.report({ creditAmount: 7 }));
      response.write("a first word");
    };
    const url = await serving(service, handler, { onDisconnect: "settle" });

    await disconnecting(url);

    await service.toldSoMuch(2);
    assert.deepEqual(service.told, ["hold ada 20", "settle 7"]);
  });

  it("before it was let in leaves no hold, and no handler runs", async () => {
    const service = new HoldingService();
    const [asked, answered] = [deferred(), deferred()];
    const hold = service.hold.bind(service);
    service.hold = async (...wanted) => {
      asked.resolve();
      await answered.promise;
      return hold(...wanted);
    };
    const app = express();
    app.use((_request, response, next) => {
      response.once("close", answered.resolve);
      next();
    });
    app.use(credits({ client: service, user: "ada", hold: 20 }), () => assert.fail("it ran"));
    const url = await addressOf(app.listen(0, "127.0.0.1"));

    await disconnecting(url, asked.promise);

    await service.toldSoMuch(2);
    assert.deepEqual(service.told, ["hold ada 20", "release"]);
  });

  it("after its answer changes nothing", async () => {
    const service = new HoldingService();
    let closed: Promise<unknown> = Promise.resolve();
    const url = await serving(service, (_request, response) => {
      closed = once(response, "close");
      response.send("ok");
    });

    await (await fetch(url, { headers: { connection: "close" } })).text();
    await closed;

    assert.deepEqual(service.told, ["hold ada 20", "settle 20"]);
  });
});
