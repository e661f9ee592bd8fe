// What both peers in Express have in common: the routes, the key check, and what a charge says.

import { createHash } from "node:crypto";
import express from "express";
import { midnight, statusAnswer } from "./answers.js";

const KEY_MS = 2_000; // A revoked key is refused within this time, as the service itself does.
const SCOPES = ["read", "write", "admin"]; // Each includes the ones before.
const USER_ID = /^[0-9a-f]{24}$/;

/** Why a request is refused, as the status of its answer. */
export class Refused extends Error {
  constructor(status) {
    super(`refused with ${status}`);
    this.status = status;
  }
}

/** Answers HTTP, from what a store finds and charges. */
export function serve({ scopeOfKey, accountOf, charge }) {
  const allow = checkOf(scopeOfKey);
  const app = express().disable("etag").disable("x-powered-by");

  app.get("/status", allow("read"), async ({ query }, response) => {
    const now = new Date();
    const { subscription, day } = await accountOf(userIdOf(query.user_id), now);
    response.json(statusAnswer(query.user_id, subscription, day, now));
  });

  app.post("/usage", allow("write"), express.json(), async ({ body }, response) => {
    response.status(201).json(await charge(usageOf(body, new Date())));
  });

  app.use((error, _request, response, _next) => {
    response.status(error.status ?? 500).json({ detail: error.message });
  });
  app.listen(process.env.PORT, "127.0.0.1", () => console.log("listening"));
}

/** Returns what makes a check that a request carries a key of at least some scope. */
function checkOf(scopeOfKey) {
  const known = new Map();

  function lookedUp(key) {
    const found = known.get(key);
    if (found?.until > Date.now()) return found.scope;
    const scope = scopeOfKey(createHash("sha256").update(key).digest("hex"));
    known.set(key, { scope, until: Date.now() + KEY_MS });
    return scope;
  }

  return (wanted) => async (request, _response, next) => {
    const [, key] = /^Bearer (.+)$/.exec(request.get("authorization") ?? "") ?? [];
    const scope = key && (await lookedUp(key));
    if (!scope) throw new Refused(401);
    if (SCOPES.indexOf(scope) < SCOPES.indexOf(wanted)) throw new Refused(403);
    next();
  };
}

function userIdOf(text) {
  if (!USER_ID.test(text)) throw new Refused(422);
  return text;
}

/** Returns a charge as the usages keep it. */
function usageOf(body, now) {
  const { user_id, service_type, credit_amount: amount } = body ?? {};
  if (typeof service_type !== "string" || !Number.isSafeInteger(amount) || amount < 0) {
    throw new Refused(422);
  }
  return {
    user_id: userIdOf(user_id),
    service_type,
    credit_amount: amount,
    token_count: body.token_count ?? null,
    model_used: body.model_used ?? null,
    session_id: body.session_id ?? null,
    details: body.details ?? null,
    timestamp: body.timestamp ? new Date(body.timestamp) : now,
    date: midnight(now),
    created_at: now,
  };
}
