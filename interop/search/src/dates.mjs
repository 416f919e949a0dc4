// Dates as ranges of time and the comparison prefixes on ranges (R4 search.html#date and #prefix). A range is
// `{from, until}` in milliseconds, without its end. What has no time zone is taken in UTC, the gateway's zone.
const FORM = /^(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?(Z|[+-]\d\d:\d\d)?)?)?)?$/;
/** What a floating-point number of milliseconds can tell apart. */
const FRACTION_DIGITS_MAX = 6;

/** The range that a date, dateTime or instant covers by its precision; `undefined` when it is none. */
export function dateRange(text) {
  const match = FORM.exec(text);
  if (!match) return undefined;
  const [, year, month, day, hour, minute, second, fraction, zone] = match;
  const at = (y, m, d, h, min, s) => Date.UTC(y, m, d, h, min, s) - offset(zone);
  const [y, m, d, h, min, s] = [year, month ?? 1, day ?? 1, hour ?? 0, minute ?? 0, second ?? 0].map(Number);
  const from = at(y, m - 1, d, h, min, s);
  if (m > 12 || m < 1 || h > 23 || min > 59 || d < 1 || d > new Date(Date.UTC(y, m, 0)).getUTCDate()) return undefined;
  if (!month) return { from, until: at(y + 1, 0, 1, 0, 0, 0) };
  if (!day) return { from, until: at(y, m, 1, 0, 0, 0) };
  if (!hour) return { from, until: from + 86_400_000 };
  if (!second) return { from, until: from + 60_000 };
  if (!fraction) return { from, until: from + 1000 };
  const digits = fraction.slice(0, FRACTION_DIGITS_MAX);
  const width = 1000 / 10 ** digits.length;
  const start = from + Number(digits) * width;
  return { from: start, until: start + width };
}

/** The range of a Period; a missing end is open (search.html#date). */
export function periodRange(period) {
  const from = period.start === undefined ? -Infinity : dateRange(period.start)?.from;
  const until = period.end === undefined ? Infinity : dateRange(period.end)?.until;
  return from === undefined || until === undefined ? undefined : { from, until };
}

/** The outer limits of a Timing: its events and its bounds (search.html#date: details are ignored). */
export function timingRange(timing) {
  const parts = (timing.event ?? []).map(dateRange);
  if (timing.repeat?.boundsPeriod) parts.push(periodRange(timing.repeat.boundsPeriod));
  const known = parts.filter(Boolean);
  if (!known.length) return undefined;
  return { from: Math.min(...known.map((each) => each.from)), until: Math.max(...known.map((each) => each.until)) };
}

/** Whether the resource's range stands to the searched one as the prefix says (search.html#prefix, word for word). How far
 *  `ap` reaches is the server's choice; here it is the least: the ranges overlap. */
export function compareRanges(prefix, searched, target) {
  const contains = searched.from <= target.from && target.until <= searched.until;
  switch (prefix) {
    case 'eq': return contains;
    case 'ne': return !contains;
    case 'gt': return target.until > searched.until;
    case 'lt': return target.from < searched.from;
    case 'ge': return target.until > searched.until || contains;
    case 'le': return target.from < searched.from || contains;
    case 'sa': return target.from >= searched.until;
    case 'eb': return target.until <= searched.from;
    case 'ap': return target.from < searched.until && searched.from < target.until;
    default: throw new Error(`no such prefix: ${prefix}`);
  }
}

function offset(zone) {
  if (!zone || zone === 'Z') return 0;
  const minutes = Number(zone.slice(1, 3)) * 60 + Number(zone.slice(4, 6));
  return (zone[0] === '-' ? -minutes : minutes) * 60_000;
}
