/** Requests: sent, timed, and repeated with the same key until they are answered. */

import { toCamel } from "./casing.js";
import {
  Aborted,
  type AllotmentError,
  errorOf,
  invalid,
  Overloaded,
  RateLimited,
  ServiceAway,
  TryAgain,
  Unauthorized,
} from "./errors.js";
import { tell } from "./listeners.js";
import { bodyText, checkedKey, queryText } from "./serializing.js";
import { Limit, pause, pauseBefore, retryAfterMs } from "./timing.js";
import type { AllotmentOptions, CallOptions, WhenAway, WriteOptions } from "./types.js";

/** How long a call may take, repeats included. */
export const TIMEOUT_MS = 30_000;
/** How long one attempt may take: a little longer than the service itself tries. */
export const ATTEMPT_TIMEOUT_MS = 12_000;
/** How often a call is repeated. */
export const RETRIES = 8;

const JSON_TYPE = /^application\/(problem\+)?json\b/;
const PRINTABLE = /^[\x21-\x7e]+$/;

/** One request, whatever becomes of it. */
export interface Request {
  method: string;
  /** With its query. */
  path: string;
  body?: string | undefined;
  key?: string | undefined;
  /** Whether it may be sent again where it may have been carried out. */
  repeatable: boolean;
}

/** Whether a call that failed so may be allowed and sent later: a caller beyond its rate may not. */
export function isUndecided(error: unknown): error is TryAgain {
  return error instanceof TryAgain && !(error instanceof RateLimited);
}

export class Transport {
  readonly timeoutMs: number;
  readonly #base: string;
  readonly #apiKey: AllotmentOptions["apiKey"];
  readonly #attemptTimeoutMs: number;
  readonly #retries: number;
  readonly #fetch: typeof fetch;
  readonly #waitUntil: AllotmentOptions["waitUntil"];

  constructor(options: AllotmentOptions<WhenAway>) {
    this.#base = checkedBase(options.baseUrl);
    this.#apiKey =
      typeof options.apiKey === "string" ? checkedApiKey(options.apiKey) : options.apiKey;
    this.timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
    this.#attemptTimeoutMs = options.attemptTimeoutMs ?? ATTEMPT_TIMEOUT_MS;
    this.#retries = options.retries ?? RETRIES;
    this.#waitUntil = options.waitUntil;
    // Called as a function of its own: some runtimes refuse `this`.
    const given = options.fetch;
    this.#fetch = given ? (input, init) => given(input, init) : (input, init) => fetch(input, init);
  }

  /** Read. */
  async read<Answer>(
    path: string,
    query: Record<string, unknown>,
    options: CallOptions,
  ): Promise<Answer> {
    const request = { method: "GET", path: path + queryText(query), repeatable: true };
    return (await this.send(request, options)) as Answer;
  }

  /** Write: what is no option of the call is the body. Under one key, whatever happens. */
  async write<Answer>(method: string, path: string, options: WriteOptions): Promise<Answer> {
    const { key = newKey(), signal, timeoutMs, ...fields } = options;
    return (await this.send(keyed(method, path, fields, key), { signal, timeoutMs })) as Answer;
  }

  /** Do something that has no key. It is sent again only where nothing came of it. */
  async act<Answer>(
    path: string,
    fields: object,
    options: CallOptions,
    { method = "POST", repeatable = false } = {},
  ): Promise<Answer> {
    const body = Object.keys(fields).length ? bodyText(fields) : undefined;
    return (await this.send({ method, path, body, repeatable }, options)) as Answer;
  }

  /** Send, and repeat. Rejects with an AllotmentError. The runtime is to wait for what writes. */
  send(request: Request, options: CallOptions & { retries?: number } = {}): Promise<unknown> {
    const answer = this.#repeat(request, options);
    if (request.method !== "GET") this.keep(answer);
    return answer;
  }

  /** Have the runtime wait for work, where it ends what nobody waits for. */
  keep(work: Promise<unknown>): void {
    const end = () => undefined;
    tell(this.#waitUntil, work.then(end, end));
  }

  /** Open a stream of text. Only its beginning has a time limit of its own. */
  async open(path: string, limit: Limit): Promise<ReadableStream<Uint8Array>> {
    const request = { method: "GET", path, repeatable: true };
    const response = await this.#exchange(request, limit.signal, "text/event-stream");
    if (response.ok && response.body) return response.body;
    throw await failure(response, request);
  }

  async #repeat(
    request: Request,
    options: CallOptions & { retries?: number },
  ): Promise<unknown> {
    const retries = options.retries ?? this.#retries;
    const deadline = Date.now() + (options.timeoutMs ?? this.timeoutMs);
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await this.#attempt(request, deadline, options.signal);
      } catch (error) {
        const wait = Math.max(pauseBefore(attempt), (error as TryAgain).retryAfterMs ?? 0);
        const again =
          mayRepeat(error, request) && attempt < retries && Date.now() + wait < deadline;
        if (!again) throw error;
        await pause(wait, options.signal, request.key);
      }
    }
  }

  async #attempt(
    request: Request,
    deadline: number,
    signal: AbortSignal | undefined,
  ): Promise<unknown> {
    if (signal?.aborted) throw new Aborted({ key: request.key, cause: signal.reason });
    const limit = new Limit(Math.min(this.#attemptTimeoutMs, deadline - Date.now()), signal);
    try {
      const response = await this.#exchange(request, limit.signal, "application/json");
      if (!response.ok) throw await failure(response, request);
      if (response.status === 204) return undefined;
      return toCamel(await answer(response, request));
    } catch (error) {
      if (signal?.aborted) throw new Aborted({ key: request.key, cause: signal.reason });
      throw error;
    } finally {
      limit.clear();
    }
  }

  async #exchange(request: Request, signal: AbortSignal, accept: string): Promise<Response> {
    const token = await inTime(this.#token(), signal, request);
    const headers: Record<string, string> = { Accept: accept, Authorization: `Bearer ${token}` };
    if (request.key !== undefined) headers["Idempotency-Key"] = request.key;
    if (request.body !== undefined) headers["Content-Type"] = "application/json";
    try {
      return await this.#fetch(this.#base + request.path, {
        method: request.method,
        headers,
        signal,
        redirect: "manual",
        ...(request.body === undefined ? {} : { body: request.body }),
      });
    } catch (error) {
      throw away(error, request);
    }
  }

  async #token(): Promise<string> {
    if (typeof this.#apiKey === "string") return this.#apiKey;
    try {
      return checkedApiKey(await this.#apiKey());
    } catch (error) {
      throw new Unauthorized("unauthorized", "The API key could not be had", { cause: error });
    }
  }
}

/** Wait for what takes no signal, until one ends that. Throws ServiceAway. */
async function inTime<Value>(
  work: Promise<Value>,
  signal: AbortSignal,
  request: Request,
): Promise<Value> {
  let onAbort = () => {};
  const ended = new Promise<never>((_, reject) => {
    onAbort = () => reject(away(signal.reason, request));
  });
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([work, ended]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** Return a random idempotency key. */
export function newKey(): string {
  return crypto.randomUUID();
}

/** Return a write under its key. Throws InvalidRequest. */
export function keyed(method: string, path: string, fields: object, key: string): Request {
  const body = Object.keys(fields).length ? bodyText(fields) : undefined;
  return { method, path, body, key: checkedKey(key), repeatable: true };
}

/** What has no key is repeated only where nothing was done. */
function mayRepeat(error: unknown, request: Request): boolean {
  if (!(error instanceof TryAgain)) return false;
  return request.repeatable || error instanceof Overloaded || error instanceof RateLimited;
}

async function failure(response: Response, request: Request): Promise<AllotmentError> {
  const wait = retryAfterMs(response.headers.get("retry-after"), Date.now());
  const facts = { key: request.key, retryAfterMs: wait };
  const body = isJson(response) ? await answer(response, request) : drop(response);
  return errorOf(response.status, body, facts);
}

async function answer(response: Response, request: Request): Promise<unknown> {
  if (!isJson(response)) {
    drop(response);
    throw errorOf(response.status, undefined, { key: request.key });
  }
  try {
    return await response.json();
  } catch (error) {
    throw away(error, request);
  }
}

/** A body that nobody reads would keep its connection. */
function drop(response: Response): undefined {
  response.body?.cancel().catch(() => undefined);
}

function isJson(response: Response): boolean {
  return JSON_TYPE.test(response.headers.get("content-type") ?? "");
}

function away(error: unknown, request: Request): ServiceAway {
  const why = error instanceof Error ? error.message : String(error);
  const message = `The service does not answer: ${why}`;
  return new ServiceAway("service_away", message, { key: request.key, cause: error });
}

function checkedBase(text: string): string {
  try {
    const url = new URL(text);
    if (url.protocol === "http:" || url.protocol === "https:") return text.replace(/\/+$/, "");
  } catch {
    // Told below.
  }
  throw invalid("baseUrl", "it is an address that begins with https:// or http://");
}

/** Keys are often read from files: a line's end is no part of them. */
function checkedApiKey(text: string): string {
  const key = typeof text === "string" ? text.trim() : "";
  if (!PRINTABLE.test(key)) throw invalid("apiKey", "it is printable characters without spaces");
  return key;
}
