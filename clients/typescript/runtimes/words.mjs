/** Answers that take their time. */

const encoder = new TextEncoder();

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Return a body of so many words, with a pause before each. */
export function words(count, pauseMs) {
  let said = 0;
  return new ReadableStream({
    async pull(controller) {
      await pause(pauseMs);
      controller.enqueue(encoder.encode("word "));
      said += 1;
      if (said === count) controller.close();
    },
  });
}
