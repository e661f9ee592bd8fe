/** Events as they come: server-sent events, resumed after the last one that was seen. */

import { AllotmentError, ServiceAway, TryAgain } from "./errors.js";
import { queryText } from "./serializing.js";
import { Limit, pause, pauseBefore } from "./timing.js";
import type { Transport } from "./transport.js";
import type { EventRecord, EventsOptions } from "./types.js";

/** The service sends something every 10 seconds: a stream that is silent for longer is dead. */
export const SILENCE_MS = 30_000;
/** How long nobody may answer before the iteration throws. */
export const AWAY_MS_MAX = 5 * 60_000;

/** Yield events for ever. Throws what the service refuses, and ServiceAway. */
export async function* follow(
  transport: Transport,
  options: EventsOptions,
): AsyncGenerator<EventRecord, void, undefined> {
  let after = options.after;
  let failures = 0;
  let awaySince: number | undefined;
  let leaveAloneMs = 0; // What `Retry-After` said.
  while (!options.signal?.aborted) {
    const limit = new Limit(SILENCE_MS, options.signal);
    try {
      const path = `/events${queryText({ types: options.types, user_id: options.userId, after })}`;
      const stream = await transport.open(path, limit);
      [failures, awaySince, leaveAloneMs] = [0, undefined, 0];
      for await (const message of messages(stream, limit)) {
        if (message.data) yield recordOf(message.data);
        after = message.id;
      }
    } catch (error) {
      if (options.signal?.aborted) return;
      if (error instanceof AllotmentError && !(error instanceof TryAgain)) throw error;
      leaveAloneMs = (error as TryAgain).retryAfterMs ?? 0;
      awaySince ??= Date.now();
      const most = options.awayMsMax ?? AWAY_MS_MAX;
      if (Date.now() - awaySince > most) throw givenUp(error, after);
    } finally {
      limit.end();
    }
    await pause(Math.max(pauseBefore(failures), leaveAloneMs), options.signal).catch(() => undefined);
    failures += 1;
  }
}

/** One message of a stream. Without data it only says where the stream has begun. */
interface Message {
  id: string;
  data: string;
}

async function* messages(
  stream: ReadableStream<Uint8Array>,
  limit: Limit,
): AsyncGenerator<Message, void, undefined> {
  const decoder = new TextDecoder();
  const reader = stream.getReader();
  const cancel = () => void reader.cancel().catch(() => undefined);
  limit.signal.addEventListener("abort", cancel, { once: true });
  let text = "";
  for (;;) {
    limit.restart(SILENCE_MS);
    const { done, value } = await reader.read();
    if (done) return;
    limit.stop(); // Whoever takes its time with an event is not silence.
    text += decoder.decode(value, { stream: true });
    const blocks = text.split(/\r?\n\r?\n/);
    text = blocks.pop() ?? "";
    for (const block of blocks) {
      const message = parsed(block);
      if (message) yield message;
    }
  }
}

/** Return the message of a block of lines; undefined: a comment, or one without an id. */
function parsed(block: string): Message | undefined {
  const fields: Record<string, string[]> = {};
  for (const line of block.split(/\r?\n/)) {
    const [name = "", value = ""] = line.split(/: ?(.*)/s, 2);
    (fields[name] ??= []).push(value);
  }
  const { id, data } = fields;
  return id ? { id: id.join(""), data: (data ?? []).join("\n") } : undefined;
}

function recordOf(data: string): EventRecord {
  const wire = JSON.parse(data) as Record<string, unknown>;
  const { user_id: userId, subscription_id: subscriptionId, ...rest } = wire;
  return { ...rest, userId, subscriptionId } as EventRecord;
}

function givenUp(error: unknown, after: string | undefined): ServiceAway {
  const resume = after === undefined ? "" : `; go on after ${after}`;
  return new ServiceAway("service_away", `No events: nobody answers${resume}`, { cause: error });
}
