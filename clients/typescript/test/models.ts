/** Models of the AI SDK's own mocks, behind the credits' middleware. */

import { wrapLanguageModel } from "ai";
import { MockLanguageModelV3 } from "ai/test";
import { creditsMiddleware, type CreditsMiddlewareOptions } from "../src/ai.js";
import type { HoldingService } from "./holding_service.js";

type StreamResult = Awaited<ReturnType<MockLanguageModelV3["doStream"]>>;
type GenerateResult = Awaited<ReturnType<MockLanguageModelV3["doGenerate"]>>;
export type Part = StreamResult["stream"] extends ReadableStream<infer One> ? One : never;
type Usage = GenerateResult["usage"];

export const PROMPT = "Say hello to me."; // 16 characters: 4 tokens, by the rule of thumb.
export const USAGE: Usage = {
  inputTokens: { total: 110, noCache: 60, cacheRead: 40, cacheWrite: 10 },
  outputTokens: { total: 25, text: 20, reasoning: 5 },
};
export const UNKNOWN: Usage = {
  inputTokens: { total: undefined, noCache: undefined, cacheRead: undefined, cacheWrite: undefined },
  outputTokens: { total: undefined, text: undefined, reasoning: undefined },
};
export const START: Part[] = [
  { type: "stream-start", warnings: [] },
  { type: "text-start", id: "t" },
];
export const FINISH: Part = {
  type: "finish",
  usage: USAGE,
  finishReason: { unified: "stop", raw: "stop" },
};
export const HELLO: Part[] = [
  ...START,
  { type: "text-delta", id: "t", delta: "Hello" },
  { type: "text-delta", id: "t", delta: ", world!" },
  { type: "text-end", id: "t" },
  FINISH,
];

export function metered(
  service: HoldingService,
  mock: MockLanguageModelV3,
  options: Partial<CreditsMiddlewareOptions> = {},
) {
  const middleware = creditsMiddleware({ client: service, user: "ada", hold: 50, ...options });
  return wrapLanguageModel({ model: mock, middleware });
}

export function generating(given: Partial<GenerateResult> = {}): MockLanguageModelV3 {
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
export function streaming(parts: (Part | Error)[]): MockLanguageModelV3 {
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
export function thinking(beginning: Part[], { heeds }: { heeds: boolean }): MockLanguageModelV3 {
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
