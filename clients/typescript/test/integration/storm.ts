/** Holds and settles for one user, all at once, and says what became of each. */

import { Allotment, AllotmentError, type Hold } from "../../src/index.js";

const baseUrl = process.env.ALLOTMENT_URL ?? "";
const apiKey = process.env.ALLOTMENT_KEY ?? "";
const user = process.env.ALLOTMENT_USER ?? "";
const calls = Number(process.env.ALLOTMENT_CALLS ?? 500);

// Long enough for a service that is started again, and holds that outlive it.
const allotment = new Allotment({ baseUrl, apiKey, timeoutMs: 1_200_000, retries: 10_000 });
let done = 0;
let charged = 0;
const failures: Record<string, number> = {};

async function one(number: number): Promise<void> {
  const options = { creditAmount: 20, serviceType: "chat", expiresIn: 3_600 };
  let kept: Hold<"refuse"> | undefined;
  try {
    await allotment.holding(user, options, async (hold) => {
      await new Promise((resolve) => setTimeout(resolve, number % 50));
      if (number % 10 === 0) throw new RangeError("the work fails");
      hold.report({ creditAmount: (number % 25) + 1 });
      kept = hold;
    });
    charged += kept?.charge?.creditAmount ?? 0;
  } catch (error) {
    const name = error instanceof AllotmentError ? error.code : (error as Error).name;
    failures[name] = (failures[name] ?? 0) + 1;
  }
  done += 1;
  if (done === Math.floor(calls / 10)) console.log("under way");
}

await Promise.all(Array.from({ length: calls }, (_, number) => one(number)));
console.log(JSON.stringify({ charged, done, failures }));
