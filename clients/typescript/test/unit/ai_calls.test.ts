import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { generateText, stepCountIs, tool } from "ai";
import { MockLanguageModelV3 } from "ai/test";
import { z } from "zod";
import { InsufficientCredits } from "../../src/errors.js";
import { HoldingService } from "../holding_service.js";
import { generating, metered, PROMPT, UNKNOWN, USAGE } from "../models.js";

describe("a call of a model", () => {
  it("is held for before, and settled from what its provider counted", async () => {
    const service = new HoldingService();
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
    const tokens = { input: 60, output: 20, cacheRead: 40, cacheWrite: 10, reasoning: 5 };
    assert.deepEqual(service.costs, [{ creditAmount: 21, tokens, modelUsed: "large-7" }]);
    assert.deepEqual(charged[1], tokens);
  });

  it("costs what the price list says where no function does", async () => {
    const service = new HoldingService(500);
    await generateText({ model: metered(service, generating()), prompt: PROMPT });

    assert.equal(service.holds[0]?.serviceType, "ai");
    const tokens = { input: 60, output: 20, cacheRead: 40, cacheWrite: 10, reasoning: 5 };
    assert.deepEqual(service.costs, [{ tokens, modelUsed: "large-7" }]);
  });

  it("costs the next whole credit, and no credit more than the decimals say", async () => {
    const service = new HoldingService();
    for (const [cost, settled] of [[0.1 * 30, 3], [3.001, 4], [0, 0]] as const) {
      const model = metered(service, generating(), { credits: () => cost });
      await generateText({ model, prompt: PROMPT });
      assert.equal(service.costs.at(-1)?.creditAmount, settled);
    }
  });

  it("is paid by whom its own options name", async () => {
    const service = new HoldingService();
    const model = metered(service, generating(), { user: undefined, credits: () => 1 });

    await generateText({ model, prompt: PROMPT, providerOptions: { allotment: { user: "bob" } } });

    assert.deepEqual(service.told, ["hold bob 50", "settle 1"]);
    await assert.rejects(generateText({ model, prompt: PROMPT }), /no user/);
  });

  it("is not made where it is refused, and the refusal is thrown", async () => {
    const service = new HoldingService(5);
    const mock = generating();

    const call = generateText({ model: metered(service, mock), prompt: PROMPT });

    await assert.rejects(call, InsufficientCredits);
    assert.equal(mock.doGenerateCalls.length, 0);
  });

  it("that fails releases its hold, each time it is tried", async () => {
    const service = new HoldingService();
    const mock = new MockLanguageModelV3({
      doGenerate: () => Promise.reject(new Error("the provider is down")),
    });

    await assert.rejects(generateText({ model: metered(service, mock), prompt: PROMPT }), /down/);
    assert.deepEqual(service.told, ["hold ada 50", "release"]);
  });

  it("that no provider counted costs an estimate, and says so", async () => {
    const service = new HoldingService();
    const model = metered(service, generating({ usage: UNKNOWN }));

    await generateText({ model, prompt: PROMPT });

    const tokens = { input: 4, output: 2, cacheRead: 0, cacheWrite: 0, reasoning: 0 };
    assert.deepEqual(service.costs[0]?.tokens, tokens);
    assert.deepEqual(service.costs[0]?.details, { estimated: true });
  });

  it("of an agent is one of several: each step is held and settled", async () => {
    const service = new HoldingService();
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
    const service = new HoldingService();
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
