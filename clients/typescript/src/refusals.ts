/** What a request is answered that is not let in: a problem body, as the service gives it. */

import {
  AllotmentError,
  Forbidden,
  InsufficientCredits,
  MethodNotAllowed,
  NoActiveSubscription,
  NotFound,
  type Problem,
  TryAgain,
  Unauthorized,
} from "./errors.js";
import { rateLimitHeaders } from "./ratelimit.js";
import type { CreditStatus } from "./types.js";

export const PROBLEM_TYPE = "application/problem+json";
const RETRY_AFTER_SECONDS = 1;
const STATUS_AWAY = 503;
// What the service says of the application, not of its user: a wrong key, a wrong address.
const OF_THE_APPLICATION = [Unauthorized, Forbidden, NotFound, MethodNotAllowed];

/** The answer to a request that is not let in. */
export interface Refusal {
  status: number;
  headers: Record<string, string>;
  problem: Problem;
}

/**
 * Return the answer to a request whose hold failed. Throws the error itself where it is no concern
 * of the user's: the application's error handling is to know of it.
 */
export async function refusalOf(
  error: unknown,
  status: () => Promise<CreditStatus | undefined> | undefined = () => undefined,
): Promise<Refusal> {
  if (!(error instanceof AllotmentError)) throw error;
  if (OF_THE_APPLICATION.some((kind) => error instanceof kind)) throw error;
  const { problem } = error;
  if (problem === undefined) {
    if (error instanceof TryAgain) return awayRefusal(error);
    throw error;
  }
  const limits =
    error instanceof InsufficientCredits || error instanceof NoActiveSubscription
      ? rateLimitHeaders(await status(), error.remainingCredits ?? null, error.availableAt)
      : {};
  return refusal(problem, { ...limits, ...retryAfter(error.retryAfterMs) });
}

/** Return the answer to a request of nobody in particular. */
export function signInRefusal(): Refusal {
  const title = "Nobody is signed in";
  return refusal({ type: "about:blank", title, status: 401, detail: title, code: "unauthorized" });
}

// Nobody answered, so there is no body to hand on.
function awayRefusal(error: TryAgain): Refusal {
  const title = "Credits cannot be checked now";
  const told = { type: "about:blank", title, status: STATUS_AWAY, detail: title, code: error.code };
  return refusal(told, retryAfter(error.retryAfterMs ?? RETRY_AFTER_SECONDS * 1000));
}

function refusal(problem: Problem, headers: Record<string, string> = {}): Refusal {
  return { status: problem.status, headers: { "Content-Type": PROBLEM_TYPE, ...headers }, problem };
}

function retryAfter(ms: number | undefined): Record<string, string> {
  return ms === undefined ? {} : { "Retry-After": String(Math.ceil(ms / 1000)) };
}
