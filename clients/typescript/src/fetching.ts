/** Answers of frameworks that speak `Request` and `Response`: Hono, Next, and the runtimes below. */

import type { Gate } from "./gate.js";
import type { Refusal } from "./refusals.js";

const CLIENT_GONE = 499; // As proxies say it in their logs.

/** Return a refusal as an answer. */
export function responseOf(refusal: Refusal): Response {
  const { status, headers, problem } = refusal;
  return new Response(JSON.stringify(problem), { status, headers });
}

/** Return the answer to a client that was gone before it was let in: nobody reads it. */
export async function goneResponse(gate: Gate): Promise<Response> {
  await gate.disconnect();
  return new Response(null, { status: CLIENT_GONE });
}

/** Have a gate know where its request's client disconnects, on runtimes that tell. */
export function watch(gate: Gate, signal: AbortSignal | undefined): void {
  signal?.addEventListener("abort", () => void gate.disconnect(), { once: true });
}

/**
 * Return an answer with the gate's headers, whose end comes when the gate is finished. One without
 * a body, or whose body nobody reads (HEAD), finishes it at once.
 */
export async function gated(gate: Gate, answer: Response, method: string): Promise<Response> {
  const unread = answer.body === null || method === "HEAD";
  if (unread) await gate.finish(answer.status);
  const body = unread ? answer.body : followed(gate, answer.body, answer.status);
  const response = new Response(body, answer);
  for (const [name, value] of Object.entries(gate.headers)) response.headers.append(name, value);
  return response;
}

function followed(
  gate: Gate,
  body: ReadableStream<Uint8Array>,
  status: number,
): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done, value } = await reader.read();
          if (!done) {
            controller.enqueue(value);
            return;
          }
          await gate.finish(status);
          controller.close();
        } catch (error) {
          await gate.fail();
          controller.error(error);
        }
      },
      async cancel(reason) {
        await Promise.all([gate.disconnect(), reader.cancel(reason)]);
      },
    },
    // Nothing is read ahead: the last chunk is asked for when the ones before are sent.
    { highWaterMark: 0 },
  );
}
