/** Hono: `app.post("/chat", credits({ client, user, hold: 20 }), handler)`. */

import type { Context, MiddlewareHandler } from "hono";
import { gated, goneResponse, responseOf, watch } from "./fetching.js";
import { type CreditsOptions, enter, Gate, type RequestHold } from "./gate.js";

export type { CreditsOptions, RequestHold } from "./gate.js";

/** What the middleware sets: `c.get("credits")`. */
export interface CreditsEnv {
  Variables: {
    /** The request's hold. */
    credits: RequestHold;
  };
}

/**
 * Return middleware that holds credits before what comes after it, and settles when the answer's
 * body ends: its end is sent when the charge is made. An answer from 500, an error and a client
 * that disconnects release the hold. `c.get("credits")` is the hold.
 */
export function credits(options: CreditsOptions<Context>): MiddlewareHandler<CreditsEnv> {
  return async (c, next) => {
    const entered = await enter<Context>(options, c);
    if (!(entered instanceof Gate)) return responseOf(entered);
    const gate = entered;
    const signal: AbortSignal | undefined = c.req.raw.signal;
    if (signal?.aborted) return goneResponse(gate);
    watch(gate, signal);
    c.set("credits", gate.hold);
    try {
      await next();
      if (c.error !== undefined) await gate.fail();
      const answer = await gated(gate, c.res, c.req.method);
      c.res = undefined; // Else Hono would merge the old headers into the new ones.
      c.res = answer;
    } catch (error) {
      await gate.fail();
      throw error;
    }
    return undefined;
  };
}
