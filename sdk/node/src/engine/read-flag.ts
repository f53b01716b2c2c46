/** Reads flags from JSON documents. Where nothing can be evaluated, the first problem says why. */

import { BUCKETS } from "./hash.js";
import type { AllocationRange, Experiment, FlagDefinition, FlagType, Prerequisite, Rule, Target } from "./model.js";
import { readRuleConditions, readTree, readUserIds } from "./read-tree.js";
import { isObject, type JsonObject } from "./values.js";

const TYPES: ReadonlySet<unknown> = new Set(["boolean", "string", "number", "json"] satisfies FlagType[]);
const SERVED_STATUSES: ReadonlySet<unknown> = new Set(["running", "paused"]);
const MOST_UNIT_NAMES = 3;

/** The flag cannot be evaluated. The message begins with the field, as in `rules[2].variant`. */
export class UnreadableError extends TypeError {
  override readonly name = "UnreadableError";

  constructor(path: string, remedy: string) {
    super(`${path || "flag"}: ${remedy}`);
  }
}

/** The flag of a document. Throws `UnreadableError`. */
export function readFlag(document: unknown): FlagDefinition {
  if (!isObject(document)) throw new UnreadableError("", "Give a flag, as an object.");
  const { key, type } = document;
  if (typeof key !== "string") throw new UnreadableError("key", "Give the flag's key.");
  if (!TYPES.has(type)) throw new UnreadableError("type", `Give one of ${[...TYPES].join(", ")}.`);
  const variants = readVariants(document, type as FlagType);
  const first = variants.keys().next().value as string;
  const variantAt = variantReader(variants);
  const killSwitch = document.killSwitchVariant ?? undefined;
  return {
    key,
    type: type as FlagType,
    variants,
    isEnabled: readEnabled(document),
    defaultVariant: variantAt(valueOr(document, "defaultVariant", first), "defaultVariant"),
    offVariant: variantAt(valueOr(document, "offVariant", first), "offVariant"),
    killSwitchVariant: killSwitch === undefined ? undefined : variantAt(killSwitch, "killSwitchVariant"),
    bucketBy: readBucketBy(valueOr(document, "bucketBy", "userId")),
    salt: readText(valueOr(document, "salt", key), "salt"),
    prerequisites: readEach(document, "prerequisites", readPrerequisite),
    targets: readEach(document, "targets", (item, path) => readTarget(item, path, variantAt)),
    rules: readEach(document, "rules", (item, path) => readRule(item, path, variantAt)).sort(
      (one, other) => one.priority - other.priority,
    ),
    experiment: readExperiment(document.experiment ?? undefined, variantAt),
    allocation: readAllocation(valueOr(document, "allocation", []), "allocation", variantAt),
    metadata: readMetadata(document.metadata),
    logsExperimentsAlone: document.exposures === "experiments",
  };
}

/** What of an unreadable flag its kill switch needs, where that is on and can be read. */
export function readKilledFlag(document: unknown): FlagDefinition | undefined {
  if (!isObject(document) || (document.killSwitchVariant ?? undefined) === undefined) return undefined;
  const { key, type, variants, killSwitchVariant } = document;
  try {
    return readFlag({ key, type, variants, killSwitchVariant });
  } catch (error) {
    if (error instanceof UnreadableError) return undefined;
    throw error;
  }
}

type VariantReader = (key: unknown, path: string) => string;

function variantReader(variants: ReadonlyMap<string, unknown>): VariantReader {
  return (key, path) => {
    if (typeof key === "string" && variants.has(key)) return key;
    throw new UnreadableError(path, `Give one of the variants ${[...variants.keys()].join(", ")}.`);
  };
}

function valueOr(document: JsonObject, name: string, otherwise: unknown): unknown {
  return Object.hasOwn(document, name) ? document[name] : otherwise;
}

function readEach<Read>(document: JsonObject, name: string, read: (item: JsonObject, path: string) => Read): Read[] {
  const items = valueOr(document, name, []);
  if (!Array.isArray(items)) throw new UnreadableError(name, "Give a list.");
  return items.map((item: unknown, number) => {
    const path = `${name}[${number}]`;
    if (!isObject(item)) throw new UnreadableError(path, "Give an object.");
    return read(item, path);
  });
}

function readName(value: unknown, path: string): string {
  if (typeof value === "string" && value !== "") return value;
  throw new UnreadableError(path, "Give it, as text.");
}

function readText(value: unknown, path: string): string {
  const text = readName(value, path);
  if (!text.isWellFormed()) throw new UnreadableError(path, "Give text of well-formed Unicode.");
  return text;
}

function readInteger(value: unknown, path: string): number {
  if (Number.isInteger(value)) return value as number;
  throw new UnreadableError(path, "Give a whole number.");
}

function readVariants(document: JsonObject, type: FlagType): ReadonlyMap<string, unknown> {
  const variants = new Map<string, unknown>();
  for (const [path, key, value] of readEach(document, "variants", (item, at) => {
    if (!Object.hasOwn(item, "value")) throw new UnreadableError(`${at}.value`, "Give the variant a value.");
    return [at, readName(item.key, `${at}.key`), item.value] as const;
  })) {
    if (variants.has(key)) throw new UnreadableError(`${path}.key`, "Give every variant a key of its own.");
    variants.set(key, readValue(value, type, `${path}.value`));
  }
  if (variants.size === 0) throw new UnreadableError("variants", "Give at least two variants.");
  return variants;
}

function readValue(value: unknown, type: FlagType, path: string): unknown {
  if (type === "json") return frozenJson(value, path);
  if (typeof value !== type) throw new UnreadableError(path, `Give a ${type} value, as the flag's type says.`);
  return frozenJson(value, path);
}

/** The value with every object and list in it frozen: all evaluations that end alike share it. */
function frozenJson(value: unknown, path: string): unknown {
  if (typeof value === "string" && !value.isWellFormed()) {
    throw new UnreadableError(path, "Give text of well-formed Unicode.");
  }
  if (typeof value === "number" && !Number.isFinite(value)) throw new UnreadableError(path, "Give a finite number.");
  if (typeof value !== "object" || value === null) return value;
  for (const [name, member] of Object.entries(value)) {
    frozenJson(name, path);
    frozenJson(member, path);
  }
  return Object.freeze(value);
}

function readEnabled(document: JsonObject): boolean {
  const enabled = valueOr(document, "enabled", false);
  if (typeof enabled !== "boolean") throw new UnreadableError("enabled", "Give true or false.");
  return enabled;
}

function readBucketBy(names: unknown): readonly string[] {
  const listed = Array.isArray(names) ? names : [names];
  const isDistinct = new Set(listed).size === listed.length;
  if (listed.length === 0 || listed.length > MOST_UNIT_NAMES || !isDistinct) {
    throw new UnreadableError("bucketBy", `Name 1 to ${MOST_UNIT_NAMES} different attributes.`);
  }
  return listed.map((name) => readText(name, "bucketBy"));
}

function readPrerequisite(item: JsonObject, path: string): Prerequisite {
  const { variants } = item;
  if (!Array.isArray(variants) || !variants.every((variant) => typeof variant === "string")) {
    throw new UnreadableError(`${path}.variants`, "List the variants that meet the prerequisite.");
  }
  return { flagKey: readName(item.flagKey, `${path}.flagKey`), variants: new Set(variants) };
}

function readTarget(item: JsonObject, path: string, variantAt: VariantReader): Target {
  return { variant: variantAt(item.variant, `${path}.variant`), userIds: readUserIds(item.userIds) };
}

function readRule(item: JsonObject, path: string, variantAt: VariantReader): Rule {
  const variant = item.variant ?? undefined;
  const ranges = item.allocation ?? undefined;
  if ((variant === undefined) === (ranges === undefined)) {
    throw new UnreadableError(path, "Give the rule either a variant or an allocation.");
  }
  return {
    id: readName(item.id, `${path}.id`),
    priority: readInteger(item.priority, `${path}.priority`),
    conditions: readRuleConditions(valueOr(item, "conditions", [])),
    variant: variant === undefined ? undefined : variantAt(variant, `${path}.variant`),
    allocation: ranges === undefined ? [] : readAllocation(ranges, `${path}.allocation`, variantAt),
  };
}

function readAllocation(document: unknown, path: string, variantAt: VariantReader): AllocationRange[] {
  return readRanges(document, path, 3).map((item) => [item[0], item[1], variantAt(item[2], path)]);
}

type Range = readonly [start: number, end: number, ...rest: unknown[]];

/** Half-open ranges of buckets in ascending order, which do not overlap, each a list of `size` members. */
function readRanges(document: unknown, path: string, size: number): Range[] {
  if (!Array.isArray(document)) throw new UnreadableError(path, "Give a list of ranges.");
  const ranges = document.map((item: unknown): Range => {
    if (!Array.isArray(item) || item.length !== size) throw new UnreadableError(path, "Give [start, end, …] ranges.");
    const [start, end] = [readInteger(item[0], path), readInteger(item[1], path)];
    if (!(start >= 0 && start < end && end <= BUCKETS)) {
      throw new UnreadableError(path, `Give whole numbers with 0 <= start < end <= ${BUCKETS}.`);
    }
    return item as unknown as Range;
  });
  ranges.sort((one, other) => one[0] - other[0]);
  for (const [at, range] of ranges.entries()) {
    const before = ranges[at - 1];
    if (before !== undefined && range[0] < before[1]) throw new UnreadableError(path, "Let the ranges not overlap.");
  }
  return ranges;
}

/** What serves of an experiment: nothing where it neither runs nor is paused. */
function readExperiment(document: unknown, variantAt: VariantReader): Experiment | undefined {
  if (document === undefined) return undefined;
  if (!isObject(document)) throw new UnreadableError("experiment", "Give an object, or null.");
  const { audience, allocation, priority, layer } = document;
  const found: Experiment = {
    id: readName(document.id, "experiment.id"),
    layerSalt: readText(isObject(layer) ? layer.salt : undefined, "experiment.layer.salt"),
    ranges: readRanges(document.ranges, "experiment.ranges", 2).map(([start, end]) => [start, end]),
    controlVariant: variantAt(document.controlVariant, "experiment.controlVariant"),
    audience: (audience ?? undefined) === undefined ? undefined : readTree(audience),
    allocation:
      (allocation ?? undefined) === undefined
        ? undefined
        : readAllocation(allocation, "experiment.allocation", variantAt),
    priority: (priority ?? undefined) === undefined ? undefined : readInteger(priority, "experiment.priority"),
  };
  return SERVED_STATUSES.has(document.status) ? found : undefined;
}

function readMetadata(document: unknown): FlagDefinition["metadata"] {
  if (!isObject(document)) return {};
  const isPlain = (value: unknown) => typeof value === "string" || typeof value === "boolean" || Number.isFinite(value);
  const entries = Object.entries(document).filter(([, value]) => isPlain(value));
  return Object.freeze(Object.fromEntries(entries)) as FlagDefinition["metadata"];
}
