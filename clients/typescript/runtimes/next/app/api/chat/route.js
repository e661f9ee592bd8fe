import { Allotment } from "@allotment/client";
import { credits } from "@allotment/client/next";
import { notFound, redirect } from "next/navigation";

import { pause, words } from "../../../../words.mjs";

const { ALLOTMENT_URL, ALLOTMENT_KEY } = process.env;
// A build has no service.
const client = new Allotment({
  baseUrl: ALLOTMENT_URL ?? "http://127.0.0.1:9",
  apiKey: ALLOTMENT_KEY ?? "none",
});
const user = (request) => request.nextUrl.searchParams.get("user");

export const POST = credits({ client, user, service: "chat", hold: 20 }, async (request, hold) => {
  switch (request.nextUrl.searchParams.get("ends")) {
    case "slowly":
      while (!hold.signal.aborted) await pause(20);
      return Response.json({});
    case "never":
      return new Response(words(1_000_000, 20));
    case "with an error":
      throw new RangeError("broken");
    case "elsewhere":
      hold.report({ creditAmount: 1 });
      return redirect("/elsewhere");
    case "nowhere":
      return notFound();
    case "in words":
      hold.report({ creditAmount: 7 });
      return new Response(words(3, 20));
    default:
      hold.report({ creditAmount: 12 });
      return Response.json({ text: "Hello" });
  }
});
