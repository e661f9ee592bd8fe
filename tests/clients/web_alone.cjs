// Runs the CommonJS core in a context that has what edge runtimes have, and nothing of Node's.
const { readFileSync } = require("node:fs");
const { join } = require("node:path");
const vm = require("node:vm");

const folder = process.argv[2];
const asked = [];
const answers = [
  () => new Response("", { status: 502 }),
  () => Response.json({ remaining_credits: 60 }, { status: 201 }),
  () =>
    new Response(`id: evt_1\ndata: {"id":"evt_1","type":"usage.spike","user_id":"ada"}\n\n`, {
      headers: { "content-type": "text/event-stream" },
    }),
];
const web = {
  AbortController,
  clearTimeout,
  console,
  crypto: { randomUUID: () => crypto.randomUUID() },
  fetch: async (url, init) => {
    asked.push(init.headers["Idempotency-Key"]);
    return answers.shift()();
  },
  setTimeout,
  TextDecoder,
  TextEncoder,
  URL,
  URLSearchParams,
};
const context = vm.createContext(web, { codeGeneration: { strings: false, wasm: false } });
const loaded = new Map();

function load(path) {
  if (!loaded.has(path)) {
    const module = { exports: {} };
    loaded.set(path, module);
    const body = `(function (exports, require, module) {${readFileSync(path, "utf8")}\n})`;
    const inner = (name) => {
      if (!name.startsWith("./")) throw new Error(`the core asks for ${name}`);
      return load(join(folder, name));
    };
    vm.runInContext(body, context, { filename: path })(module.exports, inner, module);
  }
  return loaded.get(path).exports;
}

(async () => {
  const { Allotment } = load(join(folder, "index.js"));
  const allotment = new Allotment({ baseUrl: "https://credits.test", apiKey: "k" });
  const charge = await allotment.charge("ada", { serviceType: "chat", creditAmount: 30 });
  const keys = asked.length;
  const events = [];
  for await (const event of allotment.events()) {
    events.push(event.id);
    break;
  }
  const { remainingCredits } = charge;
  console.log(JSON.stringify({ remainingCredits, asked: keys, events }));
})();
