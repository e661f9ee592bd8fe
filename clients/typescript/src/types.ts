/** What calls take and give, and what a client is made with. */

export * from "./answers.js";
export type * from "./calls.js";
export type * from "./options.js";
