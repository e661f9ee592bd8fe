/** A client that allows, and a service that cannot be reached for a while. */

import assert from "node:assert/strict";
import { connect, createServer, type Server, type Socket } from "node:net";
import { test } from "node:test";

import { Allotment, type Sent, type Unsent } from "../../src/index.js";
import { until } from "../fakes.js";

const service = new URL(process.env.ALLOTMENT_URL ?? "http://127.0.0.1:8000");
const apiKey = process.env.ALLOTMENT_KEY ?? "";
const AWAY_MS = Number(process.env.ALLOTMENT_AWAY_MS ?? 3_000);
const CALLS = 200;
const PATIENCE_MS = 120_000;

/** Stands before the service: lets through, loses answers, or is not there. */
class Line {
  port = 0;
  deaf = false;
  #server: Server | undefined;
  readonly #open = new Set<Socket>();

  async restore(): Promise<void> {
    this.#server = createServer((caller) => this.#join(caller));
    const listens = new Promise((resolve) => this.#server?.once("listening", resolve as () => void));
    this.#server.listen(this.port, "127.0.0.1");
    await listens;
    this.port = (this.#server.address() as { port: number }).port;
  }

  async cut(): Promise<void> {
    const ended = new Promise((resolve) => this.#server?.close(resolve));
    for (const socket of this.#open) socket.destroy();
    await ended;
  }

  #join(caller: Socket): void {
    const target = connect(Number(service.port), service.hostname);
    for (const socket of [caller, target]) {
      this.#open.add(socket);
      socket.on("close", () => this.#open.delete(socket));
      socket.on("error", () => undefined);
    }
    caller.pipe(target);
    // What was asked is done, and the answer is lost.
    target.on("data", (bytes) => (this.deaf ? caller.destroy() : caller.write(bytes)));
    caller.on("close", () => (this.deaf ? target.end() : target.destroy()));
    target.on("close", () => caller.destroy());
  }
}

test(`${CALLS} calls are allowed while the service is away, and each is charged once afterwards`, async () => {
  const line = new Line();
  await line.restore();
  const sent: Sent[] = [];
  const unsent: Unsent[] = [];
  const away = { patienceMs: 500, onSent: (one: Sent) => sent.push(one), onUnsent: (one: Unsent) => unsent.push(one) };
  const baseUrl = `http://127.0.0.1:${line.port}`;
  const allotment = new Allotment({ baseUrl, apiKey, whenAway: "allow", away });
  const ada = `away-${crypto.randomUUID()}`;
  const payment = { method: "card", transactionId: "t", amount: 1, currency: "eur" };
  await allotment.addCredits(ada, { amount: 1_000_000, days: 1, payment });
  await allotment.charge(ada, { serviceType: "chat", creditAmount: 1_000 });

  // Some answers are lost, then nobody is there.
  line.deaf = true;
  const lost = Array.from({ length: CALLS / 4 }, (_, number) => spend(allotment, ada, number));
  await Promise.all(lost);
  line.deaf = false;
  await line.cut();
  const back = Date.now() + AWAY_MS;
  for (let number = CALLS / 4; number < CALLS; number += 1) {
    await spend(allotment, ada, number);
    const left = (back - Date.now()) / (CALLS - number);
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, left)));
  }
  assert.ok(allotment.waiting.length > 0);
  await line.restore();
  await until(() => allotment.waiting.length === 0, PATIENCE_MS);

  assert.deepEqual(unsent, []);
  assert.ok(sent.length > 0);
  const { creditsUsed, creditsHeld } = await allotment.status(ada);
  assert.deepEqual({ creditsUsed, creditsHeld }, { creditsUsed: 1_000 + CALLS, creditsHeld: 0 });
  const charges = [];
  for await (const { details } of allotment.usage(ada, { limit: 1_000 })) charges.push(details?.number);
  const numbers = charges.filter((number) => number !== undefined).map(Number);
  assert.deepEqual(numbers.sort((one, other) => one - other), Array.from({ length: CALLS }, (_, number) => number));
  assert.equal((await allotment.close()).unsent.length, 0);
  await line.cut();
});

/** Spend one credit, this way or that. */
async function spend(allotment: Allotment<"allow">, user: string, number: number): Promise<void> {
  const details = { number };
  if (number % 2) {
    await allotment.charge(user, { serviceType: "chat", creditAmount: 1, details });
    return;
  }
  await allotment.holding(user, { creditAmount: 5, serviceType: "chat", details }, (hold) => {
    hold.report({ creditAmount: 1 });
  });
}
