/** What is tried of the client in each runtime. It uses nothing but the web's own interfaces. */

/** Do all of it for one user with 90 credits, and return what came of it, by name. */
export async function tried(library, { url, key }, user) {
  const { Allotment, AllotmentError, InsufficientCredits } = library;
  const client = new Allotment({ baseUrl: url, apiKey: key });
  const left = async () => (await client.status(user)).remainingCredits;
  const name = async (call) => {
    try {
      await call;
      return "done";
    } catch (error) {
      return error instanceof AllotmentError ? error.code : String(error);
    }
  };
  const found = {};

  found.begins = await left();
  const charge = { serviceType: "chat", creditAmount: 30, key: `charge-${user}` };
  found.charged = (await client.charge(user, charge)).remainingCredits;
  found.again = (await client.charge(user, charge)).remainingCredits;
  const dear = client.charge(user, { serviceType: "chat", creditAmount: 100 });
  found.refused = await dear.catch((error) => error instanceof InsufficientCredits && error.availableAt instanceof Date);
  const hold = await client.hold(user, { creditAmount: 20, serviceType: "chat" });
  found.held = await left();
  await hold.settle({ creditAmount: 5 });
  found.settled = await left();
  await client.holding(user, { creditAmount: 20, serviceType: "chat" }, (held) => held.report({ creditAmount: 1 }));
  found.worked = await left();
  found.failed = await name(client.holding(user, { creditAmount: 20 }, () => Promise.reject(new RangeError("no"))));
  found.released = await left();
  const many = await client.chargeMany([1, 100].map((creditAmount) => ({ userId: user, serviceType: "chat", creditAmount })));
  found.many = many.map(({ ok }) => ok);

  found.amounts = [];
  for await (const { creditAmount } of client.usage(user, { limit: 2 })) found.amounts.push(creditAmount);
  found.pages = [];
  for await (const { items } of client.usage(user, { limit: 2 }).pages()) found.pages.push(items.length);

  found.events = await events(client, user);
  found.aborted = await name(aborted((signal) => client.charge(user, { serviceType: "chat", creditAmount: 1, signal, key: "never" }), true));
  found.abortedUnderWay = await name(aborted((signal) => slow(library, { key }).status(user, { signal })));
  found.late = await name(slow(library, { key }).status(user, { timeoutMs: 50 }));
  found.away = await away(library, { url, key }, user);
  found.nobody = await nobody(library, { key }, user);
  found.ends = await left();
  return found;
}

/** Follow events, end that amid the stream, and go on after the first one. */
async function events(client, user) {
  const seen = [];
  for await (const event of client.events({ userId: user, after: "beginning" })) {
    seen.push(event.type);
    if (seen.length === 1) break;
  }
  const ended = new AbortController();
  const following = client.events({ userId: user, signal: ended.signal });
  const next = following.next();
  setTimeout(() => ended.abort(), 200);
  return [...seen, (await next).done];
}

/** Call with a signal that is aborted before, or while it is under way. */
function aborted(call, before = false) {
  const controller = new AbortController();
  if (before) controller.abort();
  else setTimeout(() => controller.abort(), 50);
  return call(controller.signal);
}

/** Return a client of a service whose answers begin and never end. */
function slow({ Allotment }, { key }) {
  const fetch = async (_url, { signal }) => {
    const start = (controller) => signal.addEventListener("abort", () => controller.error(signal.reason));
    return new Response(new ReadableStream({ start }), { headers: { "content-type": "application/json" } });
  };
  return new Allotment({ baseUrl: "http://slow.test", apiKey: key, fetch, retries: 0 });
}

/** Charge and hold while nobody answers, and see that it is charged when somebody does. */
async function away({ Allotment }, { url, key }, user) {
  let isAway = true;
  const sent = [];
  const client = new Allotment({
    baseUrl: url,
    apiKey: key,
    whenAway: "allow",
    away: { patienceMs: 200, retryMs: 50, onSent: ({ queued, charge }) => sent.push([queued.kind, charge.creditAmount]) },
    fetch: (input, init) => (isAway ? Promise.reject(new TypeError("away")) : fetch(input, init)),
  });
  const charge = await client.charge(user, { serviceType: "chat", creditAmount: 2 });
  await client.holding(user, { creditAmount: 20, serviceType: "chat" }, (hold) => hold.report({ creditAmount: 3 }));
  const waiting = client.waiting.length;
  isAway = false;
  while (client.waiting.length > 0) await new Promise((resolve) => setTimeout(resolve, 10));
  return { queued: charge.queued, waiting, sent: sent.sort(), closed: (await client.close()).unsent.length };
}

/** Charge where no service is at all, and hear at the end that it was not charged. */
async function nobody({ Allotment }, { key }, user) {
  const away = { patienceMs: 200, onUnsent: () => undefined };
  const client = new Allotment({ baseUrl: "http://127.0.0.1:9", apiKey: key, whenAway: "allow", away });
  await client.charge(user, { serviceType: "chat", creditAmount: 2 });
  const { unsent } = await client.close({ timeoutMs: 200 });
  return unsent.map(({ error }) => error.code);
}
