/** An Express application with one route behind `credits()`. */

import express, { type ErrorRequestHandler, type RequestHandler } from "express";
import { credits, type CreditsOptions } from "../src/express.js";
import type { HoldingService } from "./holding_service.js";
import { addressOf } from "./listening.js";

/** Serve one route behind `credits()`, with an error handler as applications have. */
export async function serving(
  client: HoldingService,
  handler: RequestHandler,
  options: Partial<CreditsOptions<express.Request>> = {},
): Promise<string> {
  const app = express().set("env", "test"); // Express logs no errors then.
  app.use((_request, response, next) => {
    response.set("RateLimit", '"default";r=3;t=60'); // Of another limiter.
    next();
  });
  app.all("/chat", credits({ client, user: "ada", hold: 20, ...options }), handler);
  const last: ErrorRequestHandler = (error, _request, response, next) => {
    if (response.headersSent) next(error);
    else response.status(500).json({ handled: String(error) });
  };
  app.use(last);
  return `${await addressOf(app.listen(0, "127.0.0.1"))}/chat`;
}

export const answerOk: RequestHandler = (_request, response) => {
  response.send("ok");
};
