/** The values that conditions and units read: text, numbers, booleans, and lists of these. */

/** What a condition compares one value with. */
export type Scalar = string | number | boolean;
export type ScalarKind = "string" | "number" | "boolean";

/** A JSON object whose members are not known yet. */
export type JsonObject = { readonly [name: string]: unknown };

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The type of a scalar; undefined for anything else. NaN is no number. */
export function kindOf(value: unknown): ScalarKind | undefined {
  const type = typeof value;
  if (type === "string" || type === "boolean") return type;
  return type === "number" && !Number.isNaN(value) ? "number" : undefined;
}

/** A value of JavaScript's own types that no condition can read. The message names its type. */
export class UntakenError extends TypeError {
  override readonly name = "UntakenError";
}

/** Whether `taken` gives the value back as it is. */
export function isPlain(value: unknown): boolean {
  const type = typeof value;
  return type === "string" || type === "number" || type === "boolean" || value === undefined || value === null;
}

/**
 * The value as text, a number, a boolean, or a list of these; undefined and null stay.
 *
 * A `Date` becomes its ISO 8601 text, a `bigint` the nearest number, a `Set` a list. Throws `UntakenError`.
 */
export function taken(value: unknown): unknown {
  if (isPlain(value)) return value;
  if (value instanceof Set) return Array.from(value, takenScalar);
  if (Array.isArray(value)) return value.every(isPlain) ? value : value.map(takenScalar);
  return takenScalar(value);
}

function takenScalar(value: unknown): unknown {
  if (isPlain(value)) return value;
  if (typeof value === "bigint") return Number(value);
  if (value instanceof Date && !Number.isNaN(value.getTime())) return textOf(value);
  throw new UntakenError(nameOfType(value));
}

function nameOfType(value: unknown): string {
  if (Array.isArray(value)) return "a list within a list";
  if (value instanceof Date) return "a Date that is no date";
  return typeof value === "object" && value !== null ? (value.constructor?.name ?? "object") : typeof value;
}

/**
 * The text that is hashed for an attribute's value; undefined where the value is no unit.
 *
 * Whole numbers up to 2^53 become decimal text, a `bigint` does at any size. An empty text, and one that is not
 * well-formed Unicode (it has no UTF-8), is no unit.
 */
export function unitOf(value: unknown): string | undefined {
  if (typeof value === "string") return value !== "" && value.isWellFormed() ? value : undefined;
  if (typeof value === "number") return isExactInteger(value) ? String(value) : undefined;
  if (typeof value === "bigint") return String(value);
  return value instanceof Date && !Number.isNaN(value.getTime()) ? textOf(value) : undefined;
}

/** An instant as every SDK writes it: without a fraction where it is 0, else to the microsecond, and with its zone. */
function textOf(date: Date): string {
  const [whole, fraction] = date.toISOString().slice(0, -1).split(".");
  return `${whole}${fraction === "000" ? "" : `.${fraction}000`}+00:00`;
}

// 2^53 itself is exact; past it two integers share one number.
function isExactInteger(value: number): boolean {
  return Number.isInteger(value) && Math.abs(value) <= 2 ** 53;
}
