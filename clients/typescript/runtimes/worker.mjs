/** Serves the application in workerd, which has no file system and no environment. */

import * as client from "./client/index.js";
import { credits } from "./client/hono.js";
import { credits as handled } from "./client/next.js";
import { Hono } from "./hono/index.js";
import { waitUntil } from "cloudflare:workers";

import { application } from "./application.mjs";

let serve;

export default {
  fetch(request, env, context) {
    const library = { ...client, credits, handled, Hono, waitUntil };
    serve ??= application(library, { url: env.URL, key: env.KEY });
    return serve(request, env, context);
  },
};
