/** Servers of tests: on a free port, closed after each test; and a client that goes away. */

import { once } from "node:events";
import http, { type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach } from "node:test";

const servers: Server[] = [];

afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

/** Return a promise and what resolves it. */
export function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve = () => {};
  const promise = new Promise<void>((done) => (resolve = done));
  return { promise, resolve };
}

/** Return the address of a server that listens, or is about to. */
export async function addressOf(server: Server): Promise<string> {
  servers.push(server);
  if (!server.listening) await once(server, "listening");
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Send a request, and break its connection once `when` is there, or else the answer's first bytes. */
export async function disconnecting(url: string, when?: Promise<unknown>): Promise<void> {
  const request = http.request(url, { method: "POST" });
  request.on("error", () => {}); // It is broken by us.
  request.end();
  if (when === undefined) {
    const [response] = (await once(request, "response")) as [http.IncomingMessage];
    response.on("error", () => {});
    await once(response, "data");
  } else {
    await when;
  }
  request.destroy();
}
