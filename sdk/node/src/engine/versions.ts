/** Semantic versions, compared by the precedence of semver.org. */

const NUMBER = "(0|[1-9][0-9]*)";
// No two ways to match the same text, so it takes linear time.
const PATTERN = new RegExp(
  `^[vV]?${NUMBER}(?:\\.${NUMBER})?(?:\\.${NUMBER})?` +
    "(?:-([0-9A-Za-z-]+(?:\\.[0-9A-Za-z-]+)*))?(?:\\+[0-9A-Za-z-]+(?:\\.[0-9A-Za-z-]+)*)?$",
);
const DIGITS = /^[0-9]+$/;

/** Numbers stay text: they have no limit on their length. `identifiers` is empty for a release. */
export interface Version {
  readonly numbers: readonly [string, string, string];
  readonly identifiers: readonly string[];
}

/**
 * The version that a text names; undefined where it names none.
 *
 * A leading v or V is allowed, missing minor and patch numbers are 0, build metadata is ignored.
 */
export function versionOf(text: string): Version | undefined {
  const match = PATTERN.exec(text);
  if (match === null) return undefined;
  const [, major = "0", minor = "0", patch = "0", labels] = match;
  const identifiers = labels === undefined ? [] : labels.split(".");
  const hasLeadingZero = identifiers.some((one) => one.length > 1 && one[0] === "0" && DIGITS.test(one));
  return hasLeadingZero ? undefined : { numbers: [major, minor, patch], identifiers };
}

/** Below 0, 0 or above 0, as the first stands below, with or above the second. */
export function compareVersions(first: Version, second: Version): number {
  for (const at of [0, 1, 2] as const) {
    const order = compareNumbers(first.numbers[at], second.numbers[at]);
    if (order !== 0) return order;
  }
  const mine = first.identifiers;
  const others = second.identifiers;
  // A release stands above its pre-releases.
  if (mine.length === 0 || others.length === 0) return others.length - mine.length;
  for (let at = 0; at < Math.min(mine.length, others.length); at += 1) {
    const order = compareIdentifiers(mine[at] as string, others[at] as string);
    if (order !== 0) return order;
  }
  return mine.length - others.length;
}

function compareNumbers(first: string, second: string): number {
  return first.length - second.length || compareTexts(first, second);
}

function compareIdentifiers(first: string, second: string): number {
  const isNumber = DIGITS.test(first);
  if (isNumber !== DIGITS.test(second)) return isNumber ? -1 : 1;
  return isNumber ? compareNumbers(first, second) : compareTexts(first, second);
}

function compareTexts(first: string, second: string): number {
  if (first === second) return 0;
  return first < second ? -1 : 1;
}
