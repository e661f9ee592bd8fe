/** Express: `app.post("/chat", credits({ client, user, hold: 20 }), handler)`. */

import type { NextFunction, Request, RequestHandler, Response } from "express";
import { type CreditsOptions, enter, Gate, type RequestHold } from "./gate.js";

export type { CreditsOptions, RequestHold } from "./gate.js";

declare global {
  namespace Express {
    interface Request {
      /** The request's hold, behind `credits()`. */
      credits: RequestHold;
    }
  }
}

const BODILESS = new Set([204, 205, 304]); // Their answers say no length.

/**
 * Return middleware that holds credits before what comes after it, and settles when the answer ends:
 * its end is sent when the charge is made. An answer from 500, an error and a client that
 * disconnects release the hold. `req.credits` is the hold.
 */
export function credits(options: CreditsOptions<Request>): RequestHandler {
  return async (request, response, next: NextFunction) => {
    let entered: Awaited<ReturnType<typeof enter>>;
    try {
      entered = await enter(options, request);
    } catch (error) {
      next(error);
      return;
    }
    if (!(entered instanceof Gate)) {
      response.status(entered.status).set(entered.headers);
      response.end(JSON.stringify(entered.problem));
      return;
    }
    const gate = entered;
    if (response.destroyed) {
      await gate.disconnect(); // The client did not wait for its hold.
      return;
    }
    // After this point the gate is told how the request ends.
    response.once("close", () => void gate.disconnect());
    endAfter(response, () => gate.finish(response.statusCode));
    for (const [name, value] of Object.entries(gate.headers)) response.append(name, value);
    request.credits = gate.hold;
    next();
  };
}

/** Have an answer's `end` wait for `work`. What is written before goes out at once. */
function endAfter(response: Response, work: () => Promise<void>): void {
  const end = response.end;
  let ending = false;
  const later = (...last: unknown[]): Response => {
    if (ending) return response;
    ending = true;
    // An error handler that runs meanwhile is to find that the answer is given.
    commitHeaders(response, last);
    void work().then(() => {
      response.end = end;
      Reflect.apply(end, response, last);
    });
    return response;
  };
  response.end = later as typeof end;
}

/** Write the head as `end` would: with the length, where the body is all there. */
function commitHeaders(response: Response, last: unknown[]): void {
  if (response.headersSent) return;
  const isSaid = response.hasHeader("Content-Length") || response.hasHeader("Transfer-Encoding");
  const isHead = response.req.method === "HEAD";
  if (!isSaid && !isHead && !BODILESS.has(response.statusCode)) {
    response.setHeader("Content-Length", lengthOf(last));
  }
  response.writeHead(response.statusCode);
}

function lengthOf([chunk, encoding]: unknown[]): number {
  if (typeof chunk === "string") {
    return Buffer.byteLength(chunk, typeof encoding === "string" ? (encoding as "utf8") : "utf8");
  }
  return chunk instanceof Uint8Array ? chunk.byteLength : 0;
}
