/** An application behind credits, as each runtime serves it: with Hono, and with a bare handler. */

import { tried } from "./tried.mjs";
import { pause, words } from "./words.mjs";

/** Return `fetch` of an application. */
export function application(library, { url, key }) {
  const { Allotment, credits, handled, Hono, waitUntil } = library;
  const client = new Allotment({ baseUrl: url, apiKey: key, waitUntil });
  const user = (c) => c.req.query("user");
  const limited = credits({ client, user, service: "chat", hold: 20 });
  const app = new Hono();

  app.get("/tried", async (c) => c.json(await tried(library, { url, key }, user(c))));
  app.post("/chat", limited, (c) => {
    c.get("credits").report({ creditAmount: 12 });
    return c.json({ text: "Hello" });
  });
  app.post("/words", limited, (c) => {
    c.get("credits").report({ creditAmount: 7 });
    return new Response(words(3, 20));
  });
  app.post("/endless", limited, () => new Response(words(1_000_000, 20)));
  app.post("/slow", limited, async (c) => {
    while (!c.get("credits").signal.aborted) await pause(20);
    return c.json({});
  });
  app.post("/broken", limited, () => {
    throw new RangeError("broken");
  });

  // Its charges are made when their answers have been read.
  const slowly = async (input, init) => {
    if (String(input).endsWith("/settle")) await pause(200);
    return fetch(input, init);
  };
  const later = new Allotment({ baseUrl: url, apiKey: key, fetch: slowly, waitUntil });
  app.post("/late", credits({ client: later, user, hold: 20, patienceMs: 1 }), (c) => {
    c.get("credits").report({ creditAmount: 3 });
    return c.json({ text: "Hello" });
  });

  const payer = (request) => new URL(request.url).searchParams.get("user");
  const bare = handled({ client, user: payer, hold: 20 }, (_, hold) => {
    hold.report({ creditAmount: 4 });
    return Response.json({ text: "Hello" });
  });
  app.post("/bare", (c) => bare(c.req.raw));
  app.onError((error, c) => c.text(error.message, 500));
  return app.fetch;
}
