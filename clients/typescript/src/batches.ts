/** Many charges at once: cut into batches, each record under a key of its own. */

import { type AllotmentError, errorOf, ServiceAway, TryAgain } from "./errors.js";
import { bodyText, checkedKey } from "./serializing.js";
import { pause, pauseBefore } from "./timing.js";
import { newKey, RETRIES, type Transport } from "./transport.js";
import type { CallOptions, Charge, ChargeOfMany, WriteOptions } from "./types.js";

/** Records a batch has at most. */
export const BATCH_RECORDS_MAX = 1_000;
/** Bytes of a batch: less than the MiB that a body may have. */
export const BATCH_BYTES_MAX = 900_000;

/** What became of one charge. */
export interface Outcome {
  key: string;
  result: { charge: Charge; error?: undefined } | { error: AllotmentError };
}

/** One that is not answered yet. */
interface Open {
  place: number;
  text: string;
}

/** What the service says of one record of a batch. */
type Answered = { status: number; record?: Charge; problem?: unknown };

/**
 * Charge all, and repeat what was not decided. It does not reject: each outcome says what it is.
 * With `asks: false` nothing is sent, and nothing decided.
 */
export async function chargeAll(
  transport: Transport,
  charges: readonly ChargeOfMany[],
  options: WriteOptions & { asks: boolean },
): Promise<Outcome[]> {
  const base = options.key ?? newKey();
  const outcomes: Outcome[] = [];
  let open: Open[] = [];
  for (const [place, charge] of charges.entries()) {
    const key = charge.idempotencyKey ?? `${base}.${place}`;
    try {
      open.push({ place, text: bodyText({ ...charge, idempotencyKey: checkedKey(key) }) });
      outcomes.push({ key, result: { error: notAsked() } });
    } catch (error) {
      outcomes.push({ key, result: { error: error as AllotmentError } });
    }
  }
  const deadline = Date.now() + (options.timeoutMs ?? transport.timeoutMs);
  for (let attempt = 0; options.asks && open.length > 0; attempt += 1) {
    for (const batch of batches(open)) await send(transport, batch, outcomes, options, deadline);
    open = open.filter(({ place }) => outcomes[place]?.result.error instanceof TryAgain);
    const wait = pauseBefore(attempt);
    if (attempt >= RETRIES || Date.now() + wait >= deadline) break;
    if (open.length > 0) await pause(wait, options.signal).catch(() => undefined);
  }
  return outcomes;
}

async function send(
  transport: Transport,
  batch: Open[],
  outcomes: Outcome[],
  options: CallOptions,
  deadline: number,
): Promise<void> {
  const body = `{"records":[${batch.map(({ text }) => text).join(",")}]}`;
  const request = { method: "POST", path: "/subscription/usage/batch", body, repeatable: true };
  const call = { signal: options.signal, timeoutMs: Math.max(1, deadline - Date.now()) };
  let answered: (place: number) => Answered | AllotmentError;
  try {
    const { results } = (await transport.send(request, call)) as { results: Answered[] };
    answered = (at) => results[at] ?? notAsked();
  } catch (error) {
    answered = () => error as AllotmentError;
  }
  for (const [at, { place }] of batch.entries()) {
    const outcome = outcomes[place];
    if (outcome) outcome.result = resultOf(answered(at), outcome.key);
  }
}

function resultOf(answered: Answered | AllotmentError, key: string): Outcome["result"] {
  if (answered instanceof Error) return { error: answered };
  if (answered.record) return { charge: answered.record };
  return { error: errorOf(answered.status, answered.problem, { key }) };
}

function* batches(open: Open[]): Generator<Open[]> {
  let batch: Open[] = [];
  let bytes = 0;
  for (const one of open) {
    const length = new TextEncoder().encode(one.text).length + 1;
    if (batch.length === BATCH_RECORDS_MAX || (batch.length && bytes + length > BATCH_BYTES_MAX)) {
      yield batch;
      [batch, bytes] = [[], 0];
    }
    batch.push(one);
    bytes += length;
  }
  if (batch.length) yield batch;
}

function notAsked(): ServiceAway {
  return new ServiceAway("service_away", "Nobody answered for this charge");
}
