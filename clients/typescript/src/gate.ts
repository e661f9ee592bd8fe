/** What the middleware of every framework does: hold before the work, settle or release after it. */

import type { Allotment } from "./client.js";
import type { Hold } from "./hold.js";
import { tell } from "./listeners.js";
import { rateLimitHeaders } from "./ratelimit.js";
import { type Refusal, refusalOf, signInRefusal } from "./refusals.js";
import type { CallOptions, Cost, CreditStatus, HoldFields, WhenAway } from "./types.js";

const STATUS_PATIENCE_MS = 1_000; // A request waits no longer for the figures of its headers.
/** How long the end of an answer waits for its charge. */
export const END_PATIENCE_MS = 2_000;

/** What middleware asks of a client: any `Allotment` will do. */
export type GateClient = Pick<Allotment<WhenAway>, "hold" | "status">;

type Awaitable<Value> = Value | Promise<Value>;
/** A value, or a function of the request that tells it. */
export type Asked<Request, Value> = Value | ((request: Request) => Awaitable<Value>);

/** What is to be held, and for how many milliseconds that is tried. */
export type HoldWanted = HoldFields & Pick<CallOptions, "timeoutMs">;

/** What `credits()` takes, whatever the framework. */
export interface CreditsOptions<Request> {
  client: GateClient;
  /** Who pays. A function that gives null or undefined says: nobody is signed in (401). */
  user: string | ((request: Request) => Awaitable<string | null | undefined>);
  /** What a request may cost at most: credits, or the fields of a hold. */
  hold: Asked<Request, number | HoldWanted>;
  /** `serviceType` of the charge, where `hold` says none. */
  service?: string | undefined;
  /**
   * What becomes of the hold where the client disconnects: it is released (default), or what was
   * reported until then is settled, and it is released only where nothing was.
   */
  onDisconnect?: "release" | "settle" | undefined;
  /** Whether answers carry `RateLimit` headers, which takes one `status()` a request. Default: true. */
  rateLimit?: boolean | undefined;
  /**
   * How long the end of an answer waits for its charge, which is made all the same. Default:
   * 2,000 ms.
   */
  patienceMs?: number | undefined;
  /** Told of a hold that could not be settled. Default: a line on `console.error`. */
  onUnsettled?: ((error: unknown, hold: Hold) => void) | undefined;
}

/** The hold of a request. What it costs is said with `report`, and settled when the answer ends. */
export type RequestHold = Hold & {
  /** Aborted where the client disconnects before the answer has ended. */
  readonly signal: AbortSignal;
};

/** One request that was let in. However it ends, the first end counts. */
export class Gate {
  readonly hold: RequestHold;
  /** What the answer is to carry. */
  readonly headers: Readonly<Record<string, string>>;
  readonly #options: Omit<CreditsOptions<never>, "user" | "hold">;
  readonly #gone: AbortController;
  #end: Promise<void> | undefined;

  constructor(
    hold: Hold,
    headers: Readonly<Record<string, string>>,
    options: Omit<CreditsOptions<never>, "user" | "hold">,
  ) {
    this.#gone = new AbortController();
    this.hold = Object.assign(hold, { signal: this.#gone.signal });
    this.headers = headers;
    this.#options = options;
  }

  /**
   * The answer is complete. Below 400 what was reported is settled, else all that was held; from
   * 400 what was reported, if anything; from 500 nothing. Never rejects.
   */
  finish(status: number): Promise<void> {
    return this.#once(() => (status >= 500 ? this.hold.abandon() : this.#settle(status < 400)));
  }

  /** The handler threw, or its stream broke: release. Never rejects. */
  fail(): Promise<void> {
    return this.#once(() => this.hold.abandon());
  }

  /** The client went away before the answer was complete. Never rejects. */
  disconnect(): Promise<void> {
    if (this.#end === undefined) {
      // A listener of the signal may still report.
      this.#gone.abort(new DOMException("The client disconnected", "AbortError"));
    }
    const settles = this.#options.onDisconnect === "settle";
    return this.#once(() => (settles ? this.#settle(false) : this.hold.abandon()));
  }

  /** End it so, unless it has ended. Resolves when that is done, or has taken `patienceMs`. */
  #once(end: () => Promise<void>): Promise<void> {
    this.#end ??= end();
    return doneOrLate(this.#end, this.#options.patienceMs);
  }

  #settle(whole: boolean): Promise<void> {
    const { hold } = this;
    const all = { creditAmount: hold.creditAmount };
    return settled(hold, this.#options.onUnsettled, () => hold.cost ?? (whole ? all : undefined));
  }
}

/** Settle a hold at its cost; undefined: release it. Never rejects: `onUnsettled` is told. */
export async function settled(
  hold: Hold,
  onUnsettled: ((error: unknown, hold: Hold) => void) | undefined,
  costOf: () => Cost | undefined,
): Promise<void> {
  await hold.idle();
  if (hold.state !== "open") return; // The handler was faster.
  try {
    const cost = costOf();
    await (cost === undefined ? hold.abandon() : hold.settle(cost));
  } catch (error) {
    tell(onUnsettled ?? logUnsettled, error, hold);
  }
}

/** Wait until work is done, and no longer than this. */
export async function doneOrLate(
  work: Promise<void>,
  patienceMs: number = END_PATIENCE_MS,
): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, patienceMs);
  });
  await Promise.race([work, late]);
  clearTimeout(timer);
}

/** Hold what a request may cost. Throws what is no refusal: a wrong key, a fault of the options. */
export async function enter<Request>(
  options: CreditsOptions<Request>,
  request: Request,
): Promise<Gate | Refusal> {
  const userId = await asked(options.user, request);
  if (userId === null || userId === undefined) return signInRefusal();
  const wanted = holdWanted(await asked(options.hold, request), options.service);

  const status = options.rateLimit === false ? undefined : statusOf(options.client, userId);
  try {
    const hold = await options.client.hold(userId, wanted);
    // Where nobody answered the hold, nobody answers the status.
    const shown = hold.queued ? undefined : await status;
    return new Gate(hold, rateLimitHeaders(shown, hold.remainingCredits), options);
  } catch (error) {
    return refusalOf(error, () => status);
  }
}

/** Return what is to be held, with a service type where one is known. */
export function holdWanted(hold: number | HoldWanted, service: string | undefined): HoldWanted {
  const fields = typeof hold === "number" ? { creditAmount: hold } : hold;
  return service === undefined ? fields : { serviceType: service, ...fields };
}

/** Return what an option says of a request. */
export async function asked<Request, Value>(
  option: Value | ((request: Request) => Awaitable<Value>),
  request: Request,
): Promise<Value> {
  return typeof option === "function"
    ? (option as (request: Request) => Awaitable<Value>)(request)
    : option;
}

async function statusOf(client: GateClient, userId: string): Promise<CreditStatus | undefined> {
  try {
    return await client.status(userId, { timeoutMs: STATUS_PATIENCE_MS });
  } catch {
    return undefined; // The headers are left out.
  }
}

function logUnsettled(error: unknown, hold: Hold): void {
  console.error(`allotment: hold ${hold.holdId ?? hold.key} was not settled, and expires:`, error);
}
