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

/** `re2js` is not there, as in a bundle: what needs a pattern cannot be evaluated. */
export class NoPatternsError extends Error {
  override readonly name = "NoPatternsError";
}

let re2: Re2 | undefined;

/** Throws for an expression that RE2 refuses; `NoPatternsError` where `re2js` is not installed. */
export function compilePattern(expression: string): Pattern {
  re2 ??= loaded();
  return re2.RE2JS.compile(expression);
}

function loaded(): Re2 {
  try {
    // A bundle has no address of its own modules.
    return createRequire(import.meta.url)("re2js") as Re2;
  } catch (error) {
    throw new NoPatternsError("re2js is not installed", { cause: error });
  }
}
