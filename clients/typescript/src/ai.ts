/** The Vercel AI SDK: `wrapLanguageModel({ model, middleware: creditsMiddleware({ … }) })`. */

import type { Allotment } from "./client.js";
import type { Asked, HoldWanted } from "./gate.js";
import type { Hold } from "./hold.js";
import { Meter, metered, type StreamPart } from "./meter.js";
import type { ModelUsage, Seen, Tokens } from "./tokens.js";
import type { Charged, WhenAway } from "./types.js";

export type { Seen, Tokens } from "./tokens.js";

/** One call of a model: each step of an agent is one. */
export interface ModelCall {
  params: {
    prompt: unknown;
    abortSignal?: AbortSignal | undefined;
    providerOptions?: Record<string, Record<string, unknown>> | undefined;
  };
  model: { modelId: string; provider: string };
}

export interface CreditsMiddlewareOptions {
  client: Pick<Allotment<WhenAway>, "hold">;
  /** Who pays. Default: what the call says in `providerOptions.allotment.user`. */
  user?: string | ((call: ModelCall) => string | Promise<string>) | undefined;
  /** What a call may cost at most: credits, or the fields of a hold. */
  hold: Asked<ModelCall, number | HoldWanted>;
  /**
   * What tokens cost, rounded up once to a whole credit. Default: nothing is told but the tokens, and
   * the service's price list decides.
   */
  credits?: ((tokens: Tokens, call: ModelCall) => number) | undefined;
  /** What a call has used that no provider counted. Default: a token every four characters. */
  estimate?: ((seen: Seen) => Tokens) | undefined;
  /** `serviceType` of the charge. Default: `ai`. */
  service?: string | undefined;
  /** How long a call's end waits for its charge, which is made all the same. Default: 2,000 ms. */
  patienceMs?: number | undefined;
  /** Told of each charge. */
  onCharged?: ((charge: Charged<WhenAway>, tokens: Tokens, call: ModelCall) => void) | undefined;
  /** Told of a hold that could not be settled. Default: a line on `console.error`. */
  onUnsettled?: ((error: unknown, hold: Hold) => void) | undefined;
}

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
