/** Regular expressions in RE2 syntax. `re2js` is loaded at the first one: few flags have any. */

import { createRequire } from "node:module";

/** A compiled expression. */
export interface Pattern {
  /** Whether it is found anywhere in the text, in time linear to its length. */
  test(text: string): boolean;
}

interface Re2 {
  readonly RE2JS: { compile(expression: string): Pattern };
}

const load = createRequire(import.meta.url);
let re2: Re2 | undefined;

/** Throws for an expression that RE2 refuses, and where `re2js` is not installed. */
export function compilePattern(expression: string): Pattern {
  re2 ??= load("re2js") as Re2;
  return re2.RE2JS.compile(expression);
}
