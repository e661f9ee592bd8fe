import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { generateText, stepCountIs, streamText, tool, wrapLanguageModel } from "ai";
import { MockLanguageModelV3 } from "ai/test";
import { z } from "zod";
import { creditsMiddleware, type CreditsMiddlewareOptions } from "../../src/ai.js";
import { InsufficientCredits } from "../../src/errors.js";
import { FakeService } from "../fake_service.js";
import { deferred } from "../listening.js";

type StreamResult = Awaited<ReturnType<MockLanguageModelV3["doStream"]>>;
type GenerateResult = Awaited<ReturnType<MockLanguageModelV3["doGenerate"]>>;
type Part = StreamResult["stream"] extends ReadableStream<infer One> ? One : never;
type Usage = GenerateResult["usage"];

const PROMPT = "Say hello to me."; // 16 characters: 4 tokens, by the rule of thumb.
const USAGE: Usage = {
  inputTokens: { total: 110, noCache: 60, cacheRead: 40, cacheWrite: 10 },
  outputTokens: { total: 25, text: 20, reasoning: 5 },
};
const UNKNOWN: Usage = {
  inputTokens: { total: undefined, noCache: undefined, cacheRead: undefined, cacheWrite: undefined },
  outputTokens: { total: undefined, text: undefined, reasoning: undefined },
};
const START: Part[] = [
  { type: "stream-start", warnings: [] },
  { type: "text-start", id: "t" },
];
const FINISH: Part = {
  type: "finish",
  usage: USAGE,
  finishReason: { unified: "stop", raw: "stop" },
};
const HELLO: Part[] = [
  ...START,
  { type: "text-delta", id: "t", delta: "Hello" },
  { type: "text-delta", id: "t", delta: ", world!" },
  { type: "text-end", id: "t" },
  FINISH,
];

function metered(
  service: FakeService,
  mock: MockLanguageModelV3,
  options: Partial<CreditsMiddlewareOptions> = {},
) {
  const middleware = creditsMiddleware({ client: service, user: "ada", hold: 50, ...options });
  return wrapLanguageModel({ model: mock, middleware });
}

function generating(given: Partial<GenerateResult> = {}): MockLanguageModelV3 {
  return new MockLanguageModelV3({
    modelId: "large-7",
    doGenerate: {
      content: [{ type: "text", text: "Hello" }],
      finishReason: { unified: "stop", raw: "stop" },
      usage: USAGE,
      warnings: [],
      ...given,
    },
  });
}

/** A model that streams parts; an Error among them breaks the stream. */
function streaming(parts: (Part | Error)[]): MockLanguageModelV3 {
  const stream = new ReadableStream<Part>({
    start(controller) {
      for (const part of parts) {
        if (part instanceof Error) return controller.error(part);
        controller.enqueue(part);
      }
      controller.close();
    },
  });
  return new MockLanguageModelV3({ modelId: "large-7", doStream: { stream } });
}

/** A model that writes a beginning and then thinks until its call is aborted, if it cares at all. */
function thinking(beginning: Part[], { heeds }: { heeds: boolean }): MockLanguageModelV3 {
  return new MockLanguageModelV3({
    doStream: async ({ abortSignal }) => ({
      stream: new ReadableStream<Part>({
        start(controller) {
          for (const part of beginning) controller.enqueue(part);
          const abort = () => controller.error(new DOMException("aborted", "AbortError"));
          if (heeds) abortSignal?.addEventListener("abort", abort);
        },
      }),
    }),
  });
}

const quiet = { onError: () => {} };

describe("a call of a model", () => {
  it("is held for before, and settled from what its provider counted", async () => {
    const service = new FakeService();
    const mock = generating();
    const charged: unknown[] = [];
    const model = metered(service, mock, {
      service: "chat",
      credits: ({ input, output, cacheRead, cacheWrite, reasoning }) =>
        input * 0.1 + output * 0.5 + cacheRead * 0.01 + cacheWrite * 0.2 + reasoning * 0.5,
      onCharged: (charge, tokens) => charged.push(charge, tokens),
    });

    const { text } = await generateText({ model, prompt: PROMPT });

    assert.equal(text, "Hello");
    assert.deepEqual(service.told, ["hold ada 50", "settle 21"]); // 6 + 10 + 0.4 + 2 + 2.5
    assert.deepEqual(service.holds, [{ serviceType: "chat", modelUsed: "large-7", creditAmount: 50 }]);
    const tokens = { input: 60, output: 20, cache_read: 40, cache_write: 10, reasoning: 5 };
    const cost = { creditAmount: 21, tokenCount: 135, modelUsed: "large-7", details: { tokens } };
    assert.deepEqual(service.costs, [cost]);
    assert.deepEqual(charged[1], { input: 60, output: 20, cacheRead: 40, cacheWrite: 10, reasoning: 5 });
  });

  it("costs what the price list says where no function does", async () => {
    const service = new FakeService(500);
    await generateText({ model: metered(service, generating()), prompt: PROMPT });

    assert.equal(service.holds[0]?.serviceType, "ai");
    assert.deepEqual(
      { ...service.costs[0], details: undefined },
      { tokenCount: 135, modelUsed: "large-7", details: undefined },
    );
  });

  it("costs the next whole credit, and no credit more than the decimals say", async () => {
    const service = new FakeService();
    for (const [cost, settled] of [[0.1 * 30, 3], [3.001, 4], [0, 0]] as const) {
      const model = metered(service, generating(), { credits: () => cost });
      await generateText({ model, prompt: PROMPT });
      assert.equal(service.costs.at(-1)?.creditAmount, settled);
    }
  });

  it("is paid by whom its own options name", async () => {
    const service = new FakeService();
    const model = metered(service, generating(), { user: undefined, credits: () => 1 });

    await generateText({ model, prompt: PROMPT, providerOptions: { allotment: { user: "bob" } } });

    assert.deepEqual(service.told, ["hold bob 50", "settle 1"]);
    await assert.rejects(generateText({ model, prompt: PROMPT }), /no user/);
  });

  it("is not made where it is refused, and the refusal is thrown", async () => {
    const service = new FakeService(5);
    const mock = generating();

    const call = generateText({ model: metered(service, mock), prompt: PROMPT });

    await assert.rejects(call, InsufficientCredits);
    assert.equal(mock.doGenerateCalls.length, 0);
  });

  it("that fails releases its hold, each time it is tried", async () => {
    const service = new FakeService();
    const mock = new MockLanguageModelV3({
      doGenerate: () => Promise.reject(new Error("the provider is down")),
    });

    await assert.rejects(generateText({ model: metered(service, mock), prompt: PROMPT }), /down/);
    assert.deepEqual(service.told, ["hold ada 50", "release"]);
  });

  it("that no provider counted costs an estimate, and says so", async () => {
    const service = new FakeService();
    const model = metered(service, generating({ usage: UNKNOWN }));

    await generateText({ model, prompt: PROMPT });

    const tokens = { input: 4, output: 2, cache_read: 0, cache_write: 0, reasoning: 0 };
    assert.deepEqual(service.costs[0]?.details, { tokens, estimated: true });
  });

  it("of an agent is one of several: each step is held and settled", async () => {
    const service = new FakeService();
    const finishReason = { unified: "tool-calls" as const, raw: undefined };
    const toolCall = { type: "tool-call" as const, toolCallId: "c", toolName: "time", input: "{}" };
    const step = { content: [toolCall], finishReason, usage: USAGE, warnings: [] };
    const last = await generating().doGenerate({ prompt: [] });
    const mock = new MockLanguageModelV3({ doGenerate: [step, last] });
    const time = tool({ inputSchema: z.object({}), execute: () => "noon" });

    await generateText({
      model: metered(service, mock, { credits: () => 7 }),
      prompt: PROMPT,
      tools: { time },
      stopWhen: stepCountIs(3),
    });

    assert.deepEqual(service.told, ["hold ada 50", "settle 7", "hold ada 50", "settle 7"]);
  });

  it("gives its answer though it cannot be settled, and the application is told", async () => {
    const service = new FakeService();
    const unsettled: unknown[] = [];
    const model = metered(service, generating(), {
      credits: () => Number.NaN,
      onUnsettled: (error) => unsettled.push(error),
    });

    assert.equal((await generateText({ model, prompt: PROMPT })).text, "Hello");
    assert.match(String(unsettled[0]), /RangeError.*NaN/);
    assert.deepEqual(service.told, ["hold ada 50"]); // It expires.
  });
});

describe("a stream", () => {
  it("is passed on as it comes, and settled before its end is told", async () => {
    const service = new FakeService();
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
    assert.equal(service.costs[0]?.tokenCount, 135);
    assert.deepEqual(service.told, toldAtFinish);
  });

  for (const heeds of [true, false]) {
    it(`that is aborted settles what had come, ${heeds ? "as" : "though not"} the provider stops`, async () => {
      const service = new FakeService();
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
      const tokens = { input: 4, output: 2, cache_read: 0, cache_write: 0, reasoning: 2 };
      assert.deepEqual(service.costs[0]?.details, { tokens, estimated: true, aborted: true });
    });
  }

  it("that is aborted after its usage was told settles that", async () => {
    const service = new FakeService();
    const client = new AbortController();
    const { stream } = await metered(service, streaming(HELLO)).doStream({
      prompt: [],
      abortSignal: client.signal,
    });

    for await (const part of stream) if (part.type === "finish") client.abort();

    assert.deepEqual(service.told, ["hold ada 50", "settle 135"]);
  });

  it("that is cancelled settles what had come, and cancels the provider's", async () => {
    const service = new FakeService();
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
    const service = new FakeService();
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
    const service = new FakeService();
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
    const service = new FakeService();
    const model = metered(service, streaming([...HELLO.slice(0, 3), new Error("reset")]));

    await streamText({ model, prompt: PROMPT, ...quiet }).consumeStream();

    assert.deepEqual(service.told, ["hold ada 50", "release"]);
  });

  it("that tells an error is released, unless its provider counted all the same", async () => {
    const failure: Part = { type: "error", error: new Error("overloaded") };
    const uncounted: Part = { ...FINISH, usage: UNKNOWN } as Part;
    const ends = { "settle 135": [failure, FINISH], release: [failure, uncounted], "release ": [failure] };
    for (const [end, parts] of Object.entries(ends)) {
      const service = new FakeService(500);
      const model = metered(service, streaming([...HELLO.slice(0, 3), ...parts]));

      await streamText({ model, prompt: PROMPT, ...quiet }).consumeStream();

      assert.deepEqual(service.told, ["hold ada 50", end.trim()]);
    }
  });

  it("that ends without a word of usage costs an estimate, tool calls included", async () => {
    const service = new FakeService();
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
    const tokens = { input: 7, output: 4, cache_read: 0, cache_write: 0, reasoning: 0 };
    assert.deepEqual(service.costs[0]?.details, { tokens, estimated: true });
  });

  it("is refused in the stream, where the SDK throws", async () => {
    const errors: unknown[] = [];
    const model = metered(new FakeService(5), streaming(HELLO));

    const onError = ({ error }: { error: unknown }) => void errors.push(error);
    await streamText({ model, prompt: PROMPT, onError }).consumeStream();

    assert.ok(errors[0] instanceof InsufficientCredits);
  });
});
