/** What an application is told by. */

/** Call a listener. What it throws is no reason to fail what it is told of. */
export function tell<Facts extends unknown[]>(
  listener: ((...facts: Facts) => void) | undefined,
  ...facts: Facts
): void {
  try {
    listener?.(...facts);
  } catch (error) {
    console.error("allotment: a callback threw:", error);
  }
}
