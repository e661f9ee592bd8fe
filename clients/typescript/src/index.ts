/** Allotment's client: exact credit limits in front of what costs money. */

export { Admin } from "./admin.js";
export { Allotment } from "./client.js";
export * from "./errors.js";
export { Hold } from "./hold.js";
export { type Page, Paged } from "./pages.js";
export type { Tokens } from "./tokens.js";
export * from "./types.js";
