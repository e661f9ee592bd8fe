/** The Vercel AI SDK: `wrapLanguageModel({ model, middleware: creditsMiddleware({ … }) })`. */

import type { Allotment } from "./client.js";
import { asked, type Asked, type HoldWanted, holdWanted, settled, tell } from "./gate.js";
import type { Hold } from "./hold.js";
import {
  type Counted,
  countedTokens,
  detailsOf,
  estimatedTokens,
  isCounted,
  type ModelUsage,
  type Seen,
  sumOf,
  type Tokens,
} from "./tokens.js";
import type { Charged, Cost, WhenAway } from "./types.js";

export type { Seen, Tokens } from "./tokens.js";

const SERVICE = "ai";
const DECIMALS = 9; // Of what `credits` gives: 0.1 × 30 is 3 credits, not 4.

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
  /** Told of each charge. */
  onCharged?: ((charge: Charged<WhenAway>, tokens: Tokens, call: ModelCall) => void) | undefined;
  /** Told of a hold that could not be settled. Default: a line on `console.error`. */
  onUnsettled?: ((error: unknown, hold: Hold) => void) | undefined;
}

interface StreamPart {
  type: string;
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

/**
 * Pass a stream on, and have its meter end as the stream does. One that is aborted ends at once,
 * whatever the provider does: what comes after its charge is not given away.
 */
function metered(
  meter: Meter,
  stream: ReadableStream<StreamPart>,
  signal: AbortSignal | undefined,
): ReadableStream<StreamPart> {
  const reader = stream.getReader();
  let unwatch = () => {};
  return new ReadableStream<StreamPart>(
    {
      start(controller) {
        const onAbort = () => {
          void meter.abort();
          controller.error(signal?.reason);
          void reader.cancel(signal?.reason).catch(() => {}); // It may have failed itself.
        };
        if (signal?.aborted) onAbort();
        else signal?.addEventListener("abort", onAbort, { once: true });
        unwatch = () => signal?.removeEventListener("abort", onAbort);
      },
      async pull(controller) {
        try {
          const { done, value } = await reader.read();
          if (meter.isAborted) return;
          if (done) {
            unwatch();
            await meter.close();
            controller.close();
            return;
          }
          meter.see(value);
          if (isFinish(value)) {
            unwatch();
            await meter.settle(value.usage);
          }
          controller.enqueue(value);
        } catch (error) {
          unwatch();
          await meter.release();
          controller.error(error);
        }
      },
      async cancel(reason) {
        unwatch();
        await Promise.all([meter.abort(), reader.cancel(reason)]);
      },
    },
    { highWaterMark: 0 },
  );
}

/** What one call holds and has used. However it ends, the first end counts. */
class Meter {
  readonly #options: CreditsMiddlewareOptions;
  readonly #call: ModelCall;
  readonly #hold: Hold;
  readonly #told = new Set<string>();
  #text = "";
  #reasoning = "";
  #failed = false;
  #aborted = false;
  #end: Promise<void> | undefined;

  private constructor(options: CreditsMiddlewareOptions, call: ModelCall, hold: Hold) {
    this.#options = options;
    this.#call = call;
    this.#hold = hold;
  }

  /** Hold what the call may cost. */
  static async begin(options: CreditsMiddlewareOptions, call: ModelCall): Promise<Meter> {
    const signal = call.params.abortSignal;
    signal?.throwIfAborted();
    const userId = await asked(options.user ?? userOf, call);
    const wanted = holdWanted(await asked(options.hold, call), options.service ?? SERVICE);
    // Without the signal: a hold whose answer nobody waits for is one that nobody releases.
    const hold = await options.client.hold(userId, { modelUsed: call.model.modelId, ...wanted });
    if (signal?.aborted) {
      await hold.abandon();
      signal.throwIfAborted();
    }
    return new Meter(options, call, hold);
  }

  /** Remember what a part says that a model has written. */
  see(part: StreamPart): void {
    const { type, delta, text, id, input, toolCallId } = part as Record<string, unknown> & StreamPart;
    if (type === "error") this.#failed = true;
    else if (type === "text-delta") this.#text += String(delta);
    else if (type === "reasoning-delta") this.#reasoning += String(delta);
    else if (type === "text") this.#text += String(text);
    else if (type === "reasoning") this.#reasoning += String(text);
    else if (type === "tool-input-delta") {
      this.#told.add(String(id));
      this.#text += String(delta);
    } else if (type === "tool-call" && !this.#told.has(String(toolCallId))) {
      this.#text += String(input);
    }
  }

  /** The provider has said what was used. After an error that is nothing: release. */
  settle(usage: ModelUsage): Promise<void> {
    this.#end ??=
      this.#failed && !isCounted(usage) ? this.#hold.abandon() : this.#charge(usage, {});
    return this.#end;
  }

  /** Whether nobody listens any more. */
  get isAborted(): boolean {
    return this.#aborted;
  }

  /** Nobody listens any more: settle what was seen. After an error: release. */
  abort(): Promise<void> {
    this.#aborted = true;
    this.#end ??= this.#failed ? this.#hold.abandon() : this.#charge(undefined, { aborted: true });
    return this.#end;
  }

  /** The stream is over. One that never said what was used settles what was seen. */
  close(): Promise<void> {
    this.#end ??= this.#failed ? this.#hold.abandon() : this.#charge(undefined, {});
    return this.#end;
  }

  /** It failed. */
  release(): Promise<void> {
    this.#end ??= this.#hold.abandon();
    return this.#end;
  }

  async #charge(usage: ModelUsage | undefined, said: Record<string, true>): Promise<void> {
    const { onCharged, onUnsettled } = this.#options;
    let tokens: Tokens | undefined;
    await settled(this.#hold, onUnsettled, () => {
      const counted = countedTokens(usage, () => this.#estimate());
      tokens = counted.tokens;
      return this.#cost(counted, said);
    });
    const { charge } = this.#hold;
    if (charge && tokens) tell(onCharged, charge, tokens, this.#call);
  }

  #estimate(): Tokens {
    const { prompt } = this.#call.params;
    const seen = { prompt, text: this.#text, reasoning: this.#reasoning };
    return (this.#options.estimate ?? estimatedTokens)(seen);
  }

  #cost({ tokens, isEstimated }: Counted, said: Record<string, true>): Cost {
    const details = {
      ...this.#hold.fields.details,
      tokens: detailsOf(tokens),
      ...(isEstimated ? { estimated: true } : {}),
      ...said,
    };
    const cost = { tokenCount: sumOf(tokens), modelUsed: this.#hold.fields.modelUsed, details };
    const { credits } = this.#options;
    return credits === undefined
      ? cost
      : { ...cost, creditAmount: wholeCredits(credits(tokens, this.#call)) };
  }
}

function isFinish(part: StreamPart): part is StreamPart & { usage: ModelUsage } {
  return part.type === "finish";
}

function wholeCredits(amount: number): number {
  if (!(amount >= 0)) throw new RangeError(`creditsMiddleware: \`credits\` gave ${amount}`);
  return Math.ceil(Number(amount.toFixed(DECIMALS)));
}

function userOf({ params }: ModelCall): string {
  const user = params.providerOptions?.allotment?.user;
  if (typeof user === "string") return user;
  throw new TypeError("creditsMiddleware: no user; set `user`, or providerOptions.allotment.user");
}
