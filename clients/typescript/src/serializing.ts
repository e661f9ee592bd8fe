/** Requests as text: bodies, addresses, keys. What the service could not read is refused here. */

import { toSnake } from "./casing.js";
import { AllotmentError, invalid } from "./errors.js";

/** Headers lose spaces at their ends. */
const KEY = /^(?! )[\x20-\x7e]{1,255}(?<! )$/;
const LONE_SURROGATE = /\p{Surrogate}/u;

/** Return a body as JSON. Throws InvalidRequest where JSON cannot say it exactly. */
export function bodyText(fields: object): string {
  const body = toSnake(fields) as Record<string, unknown>;
  checkAmounts(body);
  try {
    return JSON.stringify(body, sayable);
  } catch (error) {
    if (error instanceof AllotmentError) throw error;
    throw invalid("details", error instanceof Error ? error.message : String(error));
  }
}

/** Every number outside `details` is a whole one. NaN would become null, which has a meaning. */
function checkAmounts(body: Record<string, unknown>): void {
  for (const [name, value] of Object.entries(body)) {
    if (name === "details") continue;
    if (value instanceof Date) isoText(name, value);
    if (typeof value === "bigint" || (typeof value === "number" && !Number.isSafeInteger(value))) {
      throw invalid(name, `${value} is not a whole number of the type number`);
    }
    for (const item of Array.isArray(value) ? value : [value]) {
      if (typeof item === "object" && item !== null && !(item instanceof Date)) {
        checkAmounts(item as Record<string, unknown>);
      }
    }
  }
}

function sayable(name: string, value: unknown): unknown {
  if (typeof value === "bigint" || (typeof value === "number" && !Number.isFinite(value))) {
    throw invalid("details", `${name} is ${value}, which JSON cannot say`);
  }
  return value;
}

/** Return a name as one segment of a path. Throws InvalidRequest: fetch cannot ask for `.` or `..`. */
export function segment(name: string): string {
  if (name === "." || name === "..") throw invalid("path", `an address cannot have ${name} in it`);
  return encodeURIComponent(needed("path", name));
}

/** Return the query of an address, with `?`; parameters that are undefined are left out. */
export function queryText(parameters: Record<string, unknown>): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value === undefined || value === null) continue;
    for (const item of Array.isArray(value) ? value : [value]) {
      query.append(name, needed(name, item instanceof Date ? isoText(name, item) : item));
    }
  }
  const text = query.toString();
  return text && `?${text}`;
}

/** Return what an address needs, as text. Throws InvalidRequest. */
export function needed(name: string, value: unknown): string {
  const text = typeof value === "number" ? String(value) : value;
  if (typeof text !== "string" || text === "") throw invalid(name, "it is missing");
  if (LONE_SURROGATE.test(text)) throw invalid(name, "it has half a character in it");
  return text;
}

function isoText(name: string, moment: Date): string {
  if (Number.isNaN(moment.getTime())) throw invalid(name, "it is no date");
  return moment.toISOString();
}

/** Return a key that can be sent. Throws InvalidRequest. */
export function checkedKey(key: string): string {
  // null would be the text "null", and with it every charge a repeat of the first.
  if (typeof key === "string" && KEY.test(key)) return key;
  throw invalid("key", "it is 1 to 255 printable ASCII characters, without spaces at its ends");
}
