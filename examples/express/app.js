/** A chat whose answers cost what they cost, and no user more than they have. Routes as Next's are. */

import { setTimeout as sleep } from "node:timers/promises";
import { Allotment } from "@allotment/client";
import { credits } from "@allotment/client/express";
import express from "express";

const { ALLOTMENT_URL = "http://127.0.0.1:8000", ALLOTMENT_KEY, PORT = 3000 } = process.env;
const PROMPT_LENGTH_MAX = 2_000;
const WORDS_MAX = 200;
const PICTURE_CREDITS = 5;

const client = new Allotment({ baseUrl: ALLOTMENT_URL, apiKey: ALLOTMENT_KEY ?? "" });

/** Who asks. Yours comes from a session; a name in a header proves nothing. */
const user = (request) => request.get("x-user");

/** How many words an answer has: as many as the prompt names. */
const length = (prompt) => Math.min(Number(/\d+/.exec(prompt)?.[0] ?? 5), WORDS_MAX);

/** A model that answers with a token every 10 ms. */
async function* model(prompt, signal) {
  for (let word = 1; word <= length(prompt); word += 1) {
    await sleep(10, undefined, { signal });
    yield `word-${word} `;
  }
}

/** POST /api/chat {"prompt"}: a credit a word, as it streams. */
const chat = {
  POST: [
    express.json(),
    (request, response, next) => {
      const { prompt } = request.body ?? {};
      if (typeof prompt === "string" && prompt.length <= PROMPT_LENGTH_MAX) return next();
      return response.status(422).json({ title: "A prompt is a text", status: 422 });
    },
    // A user who disconnects pays for the words that were made until then.
    credits({
      client,
      user,
      service: "chat",
      hold: (request) => length(request.body.prompt),
      onDisconnect: "settle",
    }),
    async (request, response) => {
      let words = 0;
      response.type("text/plain");
      for await (const word of model(request.body.prompt, request.credits.signal)) {
        request.credits.report({ creditAmount: ++words, tokenCount: words, modelUsed: "words-1" });
        response.write(word);
      }
      response.end();
    },
  ],
};

/** POST /api/picture: a fixed price. Nothing is reported, so all that was held is charged. */
const picture = {
  POST: [
    credits({ client, user, service: "picture", hold: PICTURE_CREDITS }),
    async (request, response) => {
      await sleep(Number(request.query.ms ?? 10), undefined, { signal: request.credits.signal });
      response.json({ picture: "(^_^)" });
    },
  ],
};

/** GET /api/credits: what is left. */
const balance = {
  GET: [
    async (request, response) => {
      const { remainingCredits, resetsAt } = await client.status(user(request) ?? "nobody");
      response.json({ remainingCredits, resetsAt });
    },
  ],
};

const routes = { "/api/chat": chat, "/api/picture": picture, "/api/credits": balance };

const app = express();
for (const [path, methods] of Object.entries(routes)) {
  for (const [method, handlers] of Object.entries(methods)) {
    app[method.toLowerCase()](path, ...handlers);
  }
}
app.use((error, _request, response, next) => {
  if (error.name === "AbortError") return; // The client is gone.
  if (response.headersSent) return next(error);
  console.error(error);
  return response.status(500).json({ title: "Something broke", status: 500 });
});

const server = app.listen(Number(PORT), "127.0.0.1", () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
process.once("SIGTERM", () => server.close(() => client.close()));
