/** The operators: which values a condition may have, how they are prepared, and which attributes satisfy them. */

import { instantOf } from "./instants.js";
import { compilePattern, NoPatternsError } from "./patterns.js";
import { compareVersions, type Version, versionOf } from "./versions.js";
import { kindOf, type Scalar } from "./values.js";

/** True or false for a single value of the right type, undefined for any other. */
type Test = (value: unknown) => boolean | undefined;
/** Whether an attribute of any type satisfies a condition. Values are those that `taken` gives. */
export type Predicate = (value: unknown) => boolean;

/** The condition's value cannot be used with its operator. */
export class MalformedValueError extends TypeError {
  override readonly name = "MalformedValueError";
}

export interface Operator {
  /** The value in its ready form. Throws `MalformedValueError`. */
  readonly prepare: (value: unknown) => unknown;
  /** The test of an attribute against a prepared value. */
  readonly predicate: (prepared: never) => Predicate;
}

function operator<Prepared>(prepare: (value: unknown) => Prepared, test: (prepared: Prepared) => Test): Operator {
  return {
    prepare,
    predicate: (prepared: Prepared) => {
      const holds = test(prepared);
      return (value) => holds(value) === true;
    },
  };
}

/** An operator that takes lists: any element satisfies it; negated, none does the positive. */
function listed<Prepared>(
  prepare: (value: unknown) => Prepared,
  test: (prepared: Prepared) => Test,
  { isNegated = false, element = test }: { isNegated?: boolean; element?: (prepared: Prepared) => Test } = {},
): Operator {
  return {
    prepare,
    predicate: (prepared: Prepared) => {
      const holds = test(prepared);
      const holdsForElement = element(prepared);
      return (value) => {
        // No list is of a scalar's type, and lists are rare.
        const found = holds(value);
        if (found !== undefined) return found !== isNegated;
        return Array.isArray(value) && value.some((one) => holdsForElement(one) === true) !== isNegated;
      };
    },
  };
}

// Values and their prepared forms.

function scalar(value: unknown): Scalar {
  const kind = kindOf(value);
  if (kind === undefined) throw new MalformedValueError("Give one string, number or boolean.");
  if (kind === "string") return text(value);
  return kind === "number" ? finite(value) : (value as boolean);
}

function members(value: unknown): ReadonlySet<Scalar> {
  if (!Array.isArray(value)) throw new MalformedValueError("Give a list of strings, numbers or booleans.");
  return new Set(value.map(scalar));
}

function finite(value: unknown): number {
  if (typeof value !== "number" || !Number.isFinite(value)) throw new MalformedValueError("Give a finite number.");
  return value;
}

function text(value: unknown): string {
  if (typeof value !== "string" || !value.isWellFormed()) {
    throw new MalformedValueError("Give a string of well-formed Unicode.");
  }
  return value;
}

function texts(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.map(text) : [text(value)];
}

function pattern(value: unknown) {
  const expression = text(value);
  try {
    return compilePattern(expression);
  } catch (error) {
    if (error instanceof NoPatternsError) throw error;
    throw new MalformedValueError(`Give a regular expression in RE2 syntax: ${String(error)}`);
  }
}

function version(value: unknown): Version {
  const found = readVersion(value);
  if (found === undefined) throw new MalformedValueError('Give a semantic version such as "2.1.0", as a string.');
  return found;
}

function instant(value: unknown): number {
  const found = readInstant(value);
  if (found === undefined) {
    throw new MalformedValueError('Give an ISO 8601 instant with a zone, such as "2026-03-01T09:00:00Z".');
  }
  return found;
}

function nothing(value: unknown): undefined {
  if (value !== undefined && value !== null) throw new MalformedValueError("This operator takes no value.");
  return undefined;
}

// Tests of one value against a prepared one.

function same(wanted: Scalar): Test {
  const kind = kindOf(wanted);
  return (value) => value === wanted || (kindOf(value) === kind ? false : undefined);
}

function member(wanted: ReadonlySet<Scalar>): Test {
  return (value) => (kindOf(value) === undefined ? undefined : wanted.has(value as Scalar));
}

function part(wanted: Scalar): Test {
  return (value) => (typeof value === "string" && typeof wanted === "string" ? value.includes(wanted) : undefined);
}

function prefixed(prefixes: readonly string[]): Test {
  const [only = ""] = prefixes;
  if (prefixes.length === 1) return (value) => (typeof value === "string" ? value.startsWith(only) : undefined);
  return (value) => (typeof value === "string" ? prefixes.some((one) => value.startsWith(one)) : undefined);
}

function suffixed(suffixes: readonly string[]): Test {
  return (value) => (typeof value === "string" ? suffixes.some((one) => value.endsWith(one)) : undefined);
}

function found(wanted: { test(text: string): boolean }): Test {
  return (value) => (typeof value === "string" && value.isWellFormed() ? wanted.test(value) : undefined);
}

function ordered<Read>(
  read: (value: unknown) => Read | undefined,
  compare: (first: Read, second: Read) => number,
  holds: (order: number) => boolean,
): (wanted: Read) => Test {
  return (wanted) => (value) => {
    const given = read(value);
    return given === undefined ? undefined : holds(compare(given, wanted));
  };
}

function readNumber(value: unknown): number | undefined {
  return kindOf(value) === "number" ? (value as number) : undefined;
}

function readVersion(value: unknown): Version | undefined {
  return typeof value === "string" ? versionOf(value) : undefined;
}

function readInstant(value: unknown): number | undefined {
  return typeof value === "string" ? instantOf(value) : readNumber(value);
}

// Not by subtraction: the difference of two infinities is no number.
const compareNumbers = (first: number, second: number) => (first < second ? -1 : Number(first > second));
const isAbove = (order: number) => order > 0;
const isBelow = (order: number) => order < 0;
const isSame = (order: number) => order === 0;
const isNotBelow = (order: number) => order >= 0;
const isNotAbove = (order: number) => order <= 0;

function numeric(holds: (order: number) => boolean): Operator {
  return operator(finite, ordered(readNumber, compareNumbers, holds));
}

function versioned(holds: (order: number) => boolean): Operator {
  return operator(version, ordered(readVersion, compareVersions, holds));
}

/** The operators that compare an attribute, by name. Segments are the environment's to look up. */
export const OPERATORS: ReadonlyMap<string, Operator> = new Map(
  Object.entries({
    equals: listed(scalar, same),
    not_equals: listed(scalar, same, { isNegated: true }),
    in: listed(members, member),
    not_in: listed(members, member, { isNegated: true }),
    greater_than: numeric(isAbove),
    greater_or_equal: numeric(isNotBelow),
    less_than: numeric(isBelow),
    less_or_equal: numeric(isNotAbove),
    contains: listed(scalar, part, { element: same }),
    not_contains: listed(scalar, part, { element: same, isNegated: true }),
    starts_with: listed(texts, prefixed),
    ends_with: listed(texts, suffixed),
    matches: listed(pattern, found),
    semver_equal: versioned(isSame),
    semver_greater: versioned(isAbove),
    semver_greater_or_equal: versioned(isNotBelow),
    semver_less: versioned(isBelow),
    semver_less_or_equal: versioned(isNotAbove),
    before: operator(instant, ordered(readInstant, compareNumbers, isBelow)),
    after: operator(instant, ordered(readInstant, compareNumbers, isAbove)),
    exists: operator(nothing, () => (value) => value !== undefined && value !== null),
    not_exists: operator(nothing, () => (value) => value === undefined || value === null),
  } satisfies Record<string, Operator>),
);

export const IN_SEGMENT = "in_segment";
export const NOT_IN_SEGMENT = "not_in_segment";
