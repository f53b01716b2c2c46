// The contract's data, which every language is tested with.

import { readFileSync } from "node:fs";

/** One of the contract's JSON files, by its path below `sdk/contract`. */
export function contract(name) {
  return JSON.parse(readFileSync(new URL(`../../contract/${name}`, import.meta.url), "utf8"));
}
