/** ISO 8601 instants as Unix milliseconds. */

const PATTERN =
  /^([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]+))?)?(?:Z|([+-])([0-9]{2})(?::?([0-9]{2}))?)$/;
const MOST_CHARACTERS = 40;

/**
 * Unix milliseconds of an ISO 8601 instant with a zone; undefined for other text, or a date that does not exist.
 *
 * Digits past the milliseconds are ignored. `Date.parse` takes more forms, and other forms in every engine.
 */
export function instantOf(text: string): number | undefined {
  const match = text.length > MOST_CHARACTERS ? null : PATTERN.exec(text);
  if (match === null) return undefined;
  const [
    ,
    years,
    months,
    days,
    hours,
    minutes,
    seconds = "0",
    fraction = "0",
    sign,
    zoneHours = "0",
    zoneMinutes = "0",
  ] = match;
  const [hour, minute, second] = [Number(hours), Number(minutes), Number(seconds)];
  const [offsetHours, offsetMinutes] = [Number(zoneHours), Number(zoneMinutes)];
  if (hour > 23 || minute > 59 || second > 59 || offsetHours > 23 || offsetMinutes > 59) return undefined;
  const midnight = midnightOf(Number(years), Number(months), Number(days));
  if (midnight === undefined) return undefined;
  const offset = (offsetHours * 60 + offsetMinutes) * (sign === "-" ? -1 : 1);
  const milliseconds = Number(fraction.slice(0, 3).padEnd(3, "0"));
  return midnight + ((hour * 60 + minute - offset) * 60 + second) * 1000 + milliseconds;
}

function midnightOf(year: number, month: number, day: number): number | undefined {
  // `Date.UTC` would take the years 0 to 99 for those of the last century.
  const date = new Date(0);
  const at = date.setUTCFullYear(year, month - 1, day);
  const exists = year > 0 && date.getUTCMonth() === month - 1 && date.getUTCDate() === day;
  return exists ? at : undefined;
}
