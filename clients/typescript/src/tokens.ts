/** What a language model used, by kind of token: as its provider counted it, or estimated. */

/** Tokens by kind. No token is in two of them: cached input is not in `input`, reasoning not in `output`. */
export interface Tokens {
  input: number;
  output: number;
  cacheRead: number;
  cacheWrite: number;
  reasoning: number;
}

/** What was seen of a call that no provider counted. */
export interface Seen {
  /** The prompt, as the SDK gives it to models. */
  prompt: unknown;
  /** Text and tool calls that came. */
  text: string;
  reasoning: string;
}

/** How the AI SDK says what was used (its specification v3 and v4). */
export interface ModelUsage {
  inputTokens: {
    total: number | undefined;
    noCache: number | undefined;
    cacheRead: number | undefined;
    cacheWrite: number | undefined;
  };
  outputTokens: {
    total: number | undefined;
    text: number | undefined;
    reasoning: number | undefined;
  };
}

/** Tokens, and whether a provider counted all of them. */
export interface Counted {
  tokens: Tokens;
  isEstimated: boolean;
}

const CHARACTERS_PER_TOKEN = 4; // What providers name as a rule of thumb for English text.

/** Return the `tokenCount` of a charge that tells it, or its tokens by kind; undefined: neither. */
export function countOf(told: {
  tokenCount?: number | undefined;
  tokens?: Partial<Tokens> | undefined;
}): number | undefined {
  const { input = 0, output = 0, cacheRead = 0, cacheWrite = 0, reasoning = 0 } = told.tokens ?? {};
  const sum = input + output + cacheRead + cacheWrite + reasoning;
  return told.tokenCount ?? (told.tokens && sum);
}

/** Return whether a provider has counted anything. */
export function isCounted(usage: ModelUsage): boolean {
  return inputOf(usage) !== undefined || outputOf(usage) !== undefined;
}

/** Return what was used: of a side that the provider has not counted, what `estimate` says. */
export function countedTokens(usage: ModelUsage | undefined, estimate: () => Tokens): Counted {
  const input = usage && inputOf(usage);
  const output = usage && outputOf(usage);
  if (input !== undefined && output !== undefined) {
    return { tokens: { ...input, ...output }, isEstimated: false };
  }
  return { tokens: { ...estimate(), ...input, ...output }, isEstimated: true };
}

/** Return what a call is about to have used: a token every four characters, files uncounted. */
export function estimatedTokens(seen: Seen): Tokens {
  return {
    input: tokensIn(lengthOf(seen.prompt)),
    output: tokensIn(seen.text.length),
    cacheRead: 0,
    cacheWrite: 0,
    reasoning: tokensIn(seen.reasoning.length),
  };
}

function inputOf({
  inputTokens: { total, noCache, cacheRead = 0, cacheWrite = 0 },
}: ModelUsage): Pick<Tokens, "input" | "cacheRead" | "cacheWrite"> | undefined {
  const input = noCache ?? (total === undefined ? undefined : total - cacheRead - cacheWrite);
  return input === undefined ? undefined : { input: Math.max(0, input), cacheRead, cacheWrite };
}

function outputOf({
  outputTokens: { total, text, reasoning = 0 },
}: ModelUsage): Pick<Tokens, "output" | "reasoning"> | undefined {
  const output = text ?? (total === undefined ? undefined : total - reasoning);
  return output === undefined ? undefined : { output: Math.max(0, output), reasoning };
}

function tokensIn(characters: number): number {
  return Math.ceil(characters / CHARACTERS_PER_TOKEN);
}

// Of a prompt what a model reads: texts, and what tools were called with and gave.
const READ_FIELDS = ["content", "text", "input", "output", "value"];

function lengthOf(part: unknown): number {
  if (typeof part === "string") return part.length;
  if (Array.isArray(part)) return part.reduce((sum: number, item) => sum + lengthOf(item), 0);
  if (typeof part !== "object" || part === null) return 0;
  const { type } = part as { type?: unknown };
  if (type === "file") return 0;
  if (type === "json") return JSON.stringify((part as { value?: unknown }).value ?? null).length;
  if (type === "tool-call") return JSON.stringify((part as { input?: unknown }).input ?? null).length;
  return READ_FIELDS.reduce((sum, name) => sum + lengthOf((part as Record<string, unknown>)[name]), 0);
}
