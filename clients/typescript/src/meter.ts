/** What one call of a language model holds, has used, and is settled at. */

import { asked, doneOrLate, holdWanted, settled } from "./gate.js";
import type { Hold } from "./hold.js";
import { tell } from "./listeners.js";
import type { CreditsMiddlewareOptions, ModelCall, StreamPart } from "./model_calls.js";
import {
  type Counted,
  countedTokens,
  estimatedTokens,
  isCounted,
  type ModelUsage,
  type Tokens,
} from "./tokens.js";
import type { Cost } from "./types.js";

const SERVICE = "ai";
const DECIMALS = 9; // Of what `credits` gives: 0.1 × 30 is 3 credits, not 4.

/**
 * Pass a stream on, and have its meter end as the stream does. One that is aborted ends at once,
 * whatever the provider does: what comes after its charge is not given away.
 */
export function metered(
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
export class Meter {
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
    if (this.#failed && !isCounted(usage)) return this.release();
    return this.#once(() => this.#charge(usage, {}));
  }

  /** Whether nobody listens any more. */
  get isAborted(): boolean {
    return this.#aborted;
  }

  /** Nobody listens any more: settle what was seen. After an error: release. */
  abort(): Promise<void> {
    this.#aborted = true;
    if (this.#failed) return this.release();
    return this.#once(() => this.#charge(undefined, { aborted: true }));
  }

  /** The stream is over. One that never said what was used settles what was seen. */
  close(): Promise<void> {
    if (this.#failed) return this.release();
    return this.#once(() => this.#charge(undefined, {}));
  }

  /** It failed. */
  release(): Promise<void> {
    return this.#once(() => this.#hold.abandon());
  }

  /** End it so, unless it has ended. Resolves when that is done, or has taken `patienceMs`. */
  #once(end: () => Promise<void>): Promise<void> {
    this.#end ??= end();
    return doneOrLate(this.#end, this.#options.patienceMs);
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
    const more = { ...(isEstimated ? { estimated: true } : {}), ...said };
    const cost: Cost = { tokens, modelUsed: this.#hold.fields.modelUsed };
    if (Object.keys(more).length > 0) cost.details = { ...this.#hold.fields.details, ...more };
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
  if (!(amount >= 0 && amount < Infinity)) throw new RangeError(`creditsMiddleware: \`credits\` gave ${amount}`);
  return Math.ceil(Number(amount.toFixed(DECIMALS)));
}

function userOf({ params }: ModelCall): string {
  const user = params.providerOptions?.allotment?.user;
  if (typeof user === "string") return user;
  throw new TypeError("creditsMiddleware: no user; set `user`, or providerOptions.allotment.user");
}
