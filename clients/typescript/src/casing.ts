/** Names: `snake_case` on the wire, `camelCase` here, in types and at run time alike. */

/** A name of the wire as it is spelled here. */
export type CamelName<Name extends string> = Name extends `${infer Head}_${infer Tail}`
  ? `${Head}${Capitalize<CamelName<Tail>>}`
  : Name;

/** A type of the wire as it is spelled here. Names that are data keep their spelling. */
export type Camel<Wire> = Wire extends readonly (infer Item)[]
  ? Camel<Item>[]
  : Wire extends object
    ? string extends keyof Wire
      ? { [Name in keyof Wire]: Camel<Wire[Name]> }
      : { [Name in keyof Wire as Name extends string ? CamelName<Name> : Name]: Camel<Wire[Name]> }
    : Wire;

/** Fields whose value is the application's, Stripe's or the journal's: left as it is. */
export const OPAQUE_FIELDS: ReadonlySet<string> = new Set([
  "answer",
  "change",
  "data",
  "details",
  "documents",
  "problem",
  "stripe",
]);

/** Fields whose value is an object with data for names, and types of ours for values. */
export const KEYED_FIELDS: ReadonlySet<string> = new Set(["by_day", "by_model", "by_service"]);

/** Return a value of the wire as it is spelled here. */
export function toCamel(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(toCamel);
  if (!isObject(value)) return value;
  return mapped(value, (name, field) => {
    if (isOpaque(name, field)) return [camelName(name), field];
    if (KEYED_FIELDS.has(name) && isObject(field)) {
      return [camelName(name), mapped(field, (key, item) => [key, toCamel(item)])];
    }
    return [camelName(name), toCamel(field)];
  });
}

/** Return a value as the wire spells it. Fields that are undefined are left out. */
export function toSnake(value: unknown): unknown {
  if (value instanceof Date) return value;
  if (Array.isArray(value)) return value.map(toSnake);
  if (!isObject(value)) return value;
  return mapped(value, (name, field) => {
    const wire = snakeName(name);
    return [wire, isOpaque(wire, field) ? field : toSnake(field)];
  });
}

export function camelName(name: string): string {
  return name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

export function snakeName(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** A list is never the application's: `stripe` of a report is a list of ours. */
function isOpaque(name: string, field: unknown): boolean {
  return OPAQUE_FIELDS.has(name) && !Array.isArray(field);
}

function mapped(
  value: Record<string, unknown>,
  change: (name: string, field: unknown) => [string, unknown],
): Record<string, unknown> {
  const entries = Object.entries(value).filter(([, field]) => field !== undefined);
  return Object.fromEntries(entries.map(([name, field]) => change(name, field)));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
