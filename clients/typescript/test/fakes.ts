/** A service that answers as it is told: one step a request, the last one for all that follow. */

import { Allotment, type AllotmentOptions, type WhenAway } from "../src/index.js";

/** What becomes of a request: an answer, an error of the network, or nothing at all. */
export type Step = Response | Error | "hangs" | ((asked: Asked) => Step | Promise<Step>);

/** A request as it arrived. */
export interface Asked {
  method: string;
  path: string;
  headers: Headers;
  body: Record<string, unknown> | undefined;
  key: string | null;
}

export class FakeService {
  readonly asked: Asked[] = [];
  #steps: Step[];

  constructor(...steps: Step[]) {
    this.#steps = steps;
  }

  /** Answer so from now on. */
  become(...steps: Step[]): void {
    this.#steps = steps;
  }

  get keys(): (string | null)[] {
    return this.asked.map(({ key }) => key);
  }

  readonly fetch = async (input: unknown, init?: RequestInit): Promise<Response> => {
    const url = new URL(String(input));
    const headers = new Headers(init?.headers);
    const asked = {
      method: init?.method ?? "GET",
      path: url.pathname + url.search,
      headers,
      body: init?.body ? JSON.parse(String(init.body)) : undefined,
      key: headers.get("idempotency-key"),
    };
    this.asked.push(asked);
    let step = (this.#steps.length > 1 ? this.#steps.shift() : this.#steps[0]) as Step;
    while (typeof step === "function") step = await step(asked);
    if (step instanceof Error) throw step;
    if (step === "hangs") return nothing(init?.signal);
    return step.clone();
  };
}

export function client<Away extends WhenAway = "refuse">(
  service: FakeService,
  options: Partial<AllotmentOptions<Away>> = {},
): Allotment<Away> {
  const fetch = service.fetch as typeof globalThis.fetch;
  return new Allotment<Away>({ baseUrl: "https://credits.test", apiKey: "k", fetch, ...options });
}

export function json(status: number, body: unknown, headers: Record<string, string> = {}): Response {
  const type = status < 400 ? "application/json" : "application/problem+json";
  return new Response(JSON.stringify(body), { status, headers: { "content-type": type, ...headers } });
}

export function problem(
  status: number,
  code: string,
  more: Record<string, unknown> = {},
  headers: Record<string, string> = {},
): Response {
  const body = { type: "about:blank", title: code, status, detail: `it is ${code}`, code, ...more };
  return json(status, body, headers);
}

export function charged(creditAmount: number, more: Record<string, unknown> = {}): Response {
  return json(201, {
    usage_id: "u1",
    user_id: "ada",
    service_type: "chat",
    credit_amount: creditAmount,
    remaining_credits: 90 - creditAmount,
    details: { snake_case: 1, nested: { even_deeper: true } },
    sources: [{ source: "day", date: "2026-01-01T00:00:00Z", credit_amount: creditAmount }],
    ...more,
  });
}

export function held(creditAmount: number, holdId = "h1"): Response {
  return json(201, {
    hold_id: holdId,
    user_id: "ada",
    credit_amount: creditAmount,
    expires_at: "2026-01-01T00:05:00Z",
    remaining_credits: 90 - creditAmount,
  });
}

export const NO_CONTENT = new Response(null, { status: 204 });
export const NO_NETWORK = new TypeError("fetch failed");
export const AWAY = problem(503, "storage_unavailable");

/** Wait until something is so. */
export async function until(reached: () => boolean, ms = 10_000): Promise<void> {
  const deadline = Date.now() + ms;
  while (!reached()) {
    if (Date.now() > deadline) throw new Error(`not reached within ${ms} ms`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

function nothing(signal: AbortSignal | null | undefined): Promise<never> {
  return new Promise((_, reject) => {
    if (signal?.aborted) reject(signal.reason);
    signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}
