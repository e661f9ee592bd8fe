/** The Vercel AI SDK: `wrapLanguageModel({ model, middleware: creditsMiddleware({ … }) })`. */

import { Meter, metered } from "./meter.js";
import type { CreditsMiddlewareOptions, ModelCall, StreamPart } from "./model_calls.js";
import type { ModelUsage } from "./tokens.js";

export type { CreditsMiddlewareOptions, ModelCall } from "./model_calls.js";
export type { Seen, Tokens } from "./tokens.js";

/** Middleware of the SDK's versions 6 and 7. */
export interface CreditsMiddleware {
  readonly specificationVersion: "v3";
  wrapGenerate<Result extends { usage: ModelUsage; content: readonly StreamPart[] }>(
    options: ModelCall & { doGenerate: () => PromiseLike<Result> },
  ): Promise<Result>;
  wrapStream<Result extends { stream: ReadableStream<StreamPart> }>(
    options: ModelCall & { doStream: () => PromiseLike<Result> },
  ): Promise<Result>;
}

/**
 * Return middleware that holds credits before each call of a model, and settles from what the
 * provider says was used, before the call's end is told. A call that fails releases its hold. A
 * stream that is aborted settles an estimate from what had come by then.
 *
 * A refusal is thrown where the SDK throws: by `generateText`, in the stream of `streamText`.
 */
export function creditsMiddleware(options: CreditsMiddlewareOptions): CreditsMiddleware {
  return {
    specificationVersion: "v3",

    async wrapGenerate({ doGenerate, params, model }) {
      const meter = await Meter.begin(options, { params, model });
      try {
        const result = await doGenerate();
        for (const part of result.content) meter.see(part);
        await meter.settle(result.usage);
        return result;
      } catch (error) {
        await meter.release();
        throw error;
      }
    },

    async wrapStream({ doStream, params, model }) {
      const meter = await Meter.begin(options, { params, model });
      try {
        const result = await doStream();
        return { ...result, stream: metered(meter, result.stream, params.abortSignal) };
      } catch (error) {
        await meter.release();
        throw error;
      }
    },
  };
}
