import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { streamText } from "ai";
import { MockLanguageModelV3 } from "ai/test";
import { InsufficientCredits } from "../../src/errors.js";
import { countOf } from "../../src/tokens.js";
import { HoldingService } from "../holding_service.js";
import { deferred } from "../listening.js";
import {
  FINISH,
  HELLO,
  metered,
  type Part,
  PROMPT,
  START,
  streaming,
  thinking,
  UNKNOWN,
} from "../models.js";

const quiet = { onError: () => {} };

describe("a stream", () => {
  it("is passed on as it comes, and settled before its end is told", async () => {
    const service = new HoldingService();
    const model = metered(service, streaming(HELLO), { credits: () => 9 });
    let toldAtFinish: string[] = [];

    const result = streamText({
      model,
      prompt: PROMPT,
      onFinish: () => {
        toldAtFinish = [...service.told];
      },
    });
    const words: string[] = [];
    for await (const word of result.textStream) words.push(word);

    assert.deepEqual(words, ["Hello", ", world!"]);
    assert.deepEqual(toldAtFinish, ["hold ada 50", "settle 9"]);
    assert.equal(countOf(service.costs[0] ?? {}), 135);
    assert.deepEqual(service.told, toldAtFinish);
  });

  for (const heeds of [true, false]) {
    it(`that is aborted settles what had come, ${heeds ? "as" : "though not"} the provider stops`, async () => {
      const service = new HoldingService();
      const client = new AbortController();
      const beginning: Part[] = [
        ...START,
        { type: "reasoning-start", id: "r" },
        { type: "reasoning-delta", id: "r", delta: "12345678" },
        { type: "reasoning-end", id: "r" },
        { type: "text-delta", id: "t", delta: "Hello" },
      ];
      const model = metered(service, thinking(beginning, { heeds }));

      const result = streamText({ model, prompt: PROMPT, abortSignal: client.signal, ...quiet });
      for await (const part of result.fullStream) if (part.type === "text-delta") client.abort();

      await service.toldSoMuch(2);
      assert.deepEqual(service.told, ["hold ada 50", "settle 8"]);
      const tokens = { input: 4, output: 2, cacheRead: 0, cacheWrite: 0, reasoning: 2 };
      assert.deepEqual(service.costs[0]?.tokens, tokens);
      assert.deepEqual(service.costs[0]?.details, { estimated: true, aborted: true });
    });
  }

  it("that is aborted after its usage was told settles that", async () => {
    const service = new HoldingService();
    const client = new AbortController();
    const { stream } = await metered(service, streaming(HELLO)).doStream({
      prompt: [],
      abortSignal: client.signal,
    });

    for await (const part of stream) if (part.type === "finish") client.abort();

    assert.deepEqual(service.told, ["hold ada 50", "settle 135"]);
  });

  it("that is cancelled settles what had come, and cancels the provider's", async () => {
    const service = new HoldingService();
    const cancelled = deferred();
    const mock = new MockLanguageModelV3({
      doStream: async () => ({
        stream: new ReadableStream<Part>({
          start: (controller) => HELLO.slice(0, 3).forEach((part) => controller.enqueue(part)),
          cancel: cancelled.resolve,
        }),
      }),
    });
    const estimated: unknown[] = [];
    const model = metered(service, mock, {
      estimate: (seen) => {
        estimated.push(seen);
        return { input: 1, output: 2, cacheRead: 0, cacheWrite: 0, reasoning: 0 };
      },
    });
    const prompt = [{ role: "system" as const, content: "Be kind." }];

    const reader = (await model.doStream({ prompt })).stream.getReader();
    for (let read = 0; read < 3; read += 1) await reader.read();
    await reader.cancel();

    await cancelled.promise;
    assert.deepEqual(service.told, ["hold ada 50", "settle 3"]);
    assert.deepEqual(estimated, [{ prompt, text: "Hello", reasoning: "" }]);
  });

  it("that never begins before it is aborted is released: nothing is known to be used", async () => {
    const service = new HoldingService();
    const client = new AbortController();
    const mock = new MockLanguageModelV3({
      doStream: ({ abortSignal }) =>
        new Promise((_, reject) => {
          abortSignal?.addEventListener("abort", () => reject(abortSignal.reason));
          client.abort();
        }),
    });

    const call = async () =>
      metered(service, mock).doStream({ prompt: [], abortSignal: client.signal });

    await assert.rejects(call, { name: "AbortError" });
    assert.deepEqual(service.told, ["hold ada 50", "release"]);
  });

  it("that is aborted before it is held, or meanwhile, leaves no hold", async () => {
    const service = new HoldingService();
    const mock = streaming(HELLO);
    const early = { prompt: [], abortSignal: AbortSignal.abort() };
    await assert.rejects(async () => metered(service, mock).doStream(early));
    assert.deepEqual(service.told, []);

    const client = new AbortController();
    const model = metered(service, mock, {
      user: () => {
        client.abort();
        return "ada";
      },
    });
    await assert.rejects(async () =>
      model.doStream({ prompt: [], abortSignal: client.signal }),
    );
    assert.deepEqual(service.told, ["hold ada 50", "release"]);
    assert.equal(mock.doStreamCalls.length, 0);
  });

  it("that breaks is released", async () => {
    const service = new HoldingService();
    const model = metered(service, streaming([...HELLO.slice(0, 3), new Error("reset")]));

    await streamText({ model, prompt: PROMPT, ...quiet }).consumeStream();

    assert.deepEqual(service.told, ["hold ada 50", "release"]);
  });

  it("that tells an error is released, unless its provider counted all the same", async () => {
    const failure: Part = { type: "error", error: new Error("overloaded") };
    const uncounted: Part = { ...FINISH, usage: UNKNOWN } as Part;
    const ends = { "settle 135": [failure, FINISH], release: [failure, uncounted], "release ": [failure] };
    for (const [end, parts] of Object.entries(ends)) {
      const service = new HoldingService(500);
      const model = metered(service, streaming([...HELLO.slice(0, 3), ...parts]));

      await streamText({ model, prompt: PROMPT, ...quiet }).consumeStream();

      assert.deepEqual(service.told, ["hold ada 50", end.trim()]);
    }
  });

  it("that ends without a word of usage costs an estimate, tool calls included", async () => {
    const service = new HoldingService();
    const parts: Part[] = [
      { type: "stream-start", warnings: [] },
      { type: "tool-input-start", id: "c", toolName: "time" },
      { type: "tool-input-delta", id: "c", delta: '{"zone":"UTC"}' },
      { type: "tool-input-end", id: "c" },
      { type: "tool-call", toolCallId: "c", toolName: "time", input: '{"zone":"UTC"}' },
      { type: "tool-call", toolCallId: "d", toolName: "time", input: "{}" },
    ];
    const { stream } = await metered(service, streaming(parts)).doStream({
      prompt: [
        { role: "user", content: [{ type: "text", text: "What time?" }] },
        {
          role: "assistant",
          content: [{ type: "tool-call", toolCallId: "b", toolName: "time", input: { zone: "" } }],
        },
        {
          role: "tool",
          content: [
            {
              type: "tool-result",
              toolCallId: "b",
              toolName: "time",
              output: { type: "text", value: "noon" },
            },
          ],
        },
      ],
    });
    for await (const _ of stream);

    // 10 + 11 + 4 characters were read, 14 + 2 were written.
    const tokens = { input: 7, output: 4, cacheRead: 0, cacheWrite: 0, reasoning: 0 };
    assert.deepEqual(service.costs[0]?.tokens, tokens);
    assert.deepEqual(service.costs[0]?.details, { estimated: true });
  });

  it("is refused in the stream, where the SDK throws", async () => {
    const errors: unknown[] = [];
    const model = metered(new HoldingService(5), streaming(HELLO));

    const onError = ({ error }: { error: unknown }) => void errors.push(error);
    await streamText({ model, prompt: PROMPT, onError }).consumeStream();

    assert.ok(errors[0] instanceof InsufficientCredits);
  });
});
