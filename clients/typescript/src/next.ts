/** Next's route handlers: `export const POST = credits({ client, user, hold: 20 }, handler)`. */

import { gated, goneResponse, responseOf, watch } from "./fetching.js";
import { type CreditsOptions, enter, Gate, type RequestHold } from "./gate.js";
import { refusalOf } from "./refusals.js";

export type { CreditsOptions, RequestHold } from "./gate.js";

/** A handler behind `credits()`: Next's, with the request's hold before the context. */
export type CreditsHandler<Incoming, RouteContext> = (
  request: Incoming,
  credits: RequestHold,
  context: RouteContext,
) => Response | Promise<Response>;

/**
 * Return a route handler that holds credits before another one, and settles when the answer's body
 * ends: its end is sent when the charge is made. An answer from 500, an error and a client that
 * disconnects release the hold. Nothing in it is Next's own: it serves wherever a handler takes a
 * `Request` and gives a `Response`.
 */
export function credits<Incoming extends Request = Request, RouteContext = unknown>(
  options: CreditsOptions<Incoming>,
  handler: CreditsHandler<Incoming, RouteContext>,
): (request: Incoming, context: RouteContext) => Promise<Response> {
  return async (request, context) => {
    const entered = await enter(options, request);
    if (!(entered instanceof Gate)) return responseOf(entered);
    const gate = entered;
    const signal: AbortSignal | undefined = request.signal;
    if (signal?.aborted) return goneResponse(gate);
    watch(gate, signal);
    try {
      return await gated(gate, await handler(request, gate.hold, context), request.method);
    } catch (error) {
      const status = statusOfThrown(error);
      await (status === undefined ? gate.fail() : gate.finish(status));
      throw error;
    }
  };
}

/**
 * Return the answer to an error of the client's that a handler has caught: 402 and the like, as a
 * problem body. Throws every other error.
 */
export async function refused(error: unknown): Promise<Response> {
  return responseOf(await refusalOf(error));
}

/** Return the status of what Next answers by throwing: `redirect()`, `notFound()` and their like. */
function statusOfThrown(error: unknown): number | undefined {
  const digest = (error as { digest?: unknown } | null)?.digest;
  if (typeof digest !== "string") return undefined;
  if (digest.startsWith("NEXT_REDIRECT;")) return 307;
  const [kind, status] = digest.split(";");
  return kind === "NEXT_HTTP_ERROR_FALLBACK" ? Number(status) : undefined;
}
