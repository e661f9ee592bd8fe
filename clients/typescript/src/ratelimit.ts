/** The headers `RateLimit` and `RateLimit-Policy`, as the service writes them, for a user's credits. */

import type { CreditStatus } from "./types.js";

const POLICY = '"credits"'; // The service's own, for requests, is called "default".

/**
 * Return the headers (draft-ietf-httpapi-ratelimit-headers): the policy's `q` is what today gives
 * in all, `w` the day in seconds; `r` is what is left and `t` the seconds until there may be more.
 * `availableAt` says so of a refusal (null: never); else that is the next midnight. Without a
 * status there is none.
 */
export function rateLimitHeaders(
  status: CreditStatus | undefined,
  remaining: number | null,
  availableAt: Date | null | undefined = undefined,
): Record<string, string> {
  if (status === undefined) return {};
  const quota = status.dailyCreditLimit + status.creditsRolledOver + status.packCredits;
  const left = Math.max(0, remaining ?? status.remainingCredits);
  const until = availableAt === undefined ? new Date(status.resetsAt) : availableAt;
  const reset = until === null ? "" : `;t=${seconds(status.asOf, until)}`;
  return {
    "RateLimit-Policy": `${POLICY};q=${Math.max(0, quota)};w=${seconds(status.date, new Date(status.resetsAt))}`,
    RateLimit: `${POLICY};r=${left}${reset}`,
  };
}

function seconds(from: string, until: Date): number {
  return Math.max(1, Math.round((until.getTime() - new Date(from).getTime()) / 1000));
}
