/** Serves the application in Bun or Deno, with the package as it is installed. */

import * as client from "@allotment/client";
import { credits } from "@allotment/client/hono";
import { credits as handled } from "@allotment/client/next";
import { Hono } from "hono";

import { application } from "./application.mjs";

const { env } = globalThis.Deno ? { env: Deno.env.toObject() } : process;
const library = { ...client, credits, handled, Hono };
const fetch = application(library, { url: env.ALLOTMENT_URL, key: env.ALLOTMENT_KEY });
const listening = (port) => console.log(`listening on http://127.0.0.1:${port}`);

if (globalThis.Deno) {
  const onListen = ({ port }) => listening(port);
  Deno.serve({ hostname: "127.0.0.1", port: 0, onListen }, (request) => fetch(request));
} else {
  listening(Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: (request) => fetch(request) }).port);
}
