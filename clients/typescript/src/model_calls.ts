/** Calls of language models: what they are, and what is held and told for them. */

import type { Allotment } from "./client.js";
import type { Asked, HoldWanted } from "./gate.js";
import type { Hold } from "./hold.js";
import type { Seen, Tokens } from "./tokens.js";
import type { Charged, WhenAway } from "./types.js";

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

/** A part of what a model streams, or of what it has written at once. */
export interface StreamPart {
  type: string;
}
