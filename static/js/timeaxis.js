/**
 * Instants in words and on an axis, in the browser's own time zone: the twin of
 * monitor/web/timeaxis.py, which says them in UTC.
 */

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const MINUTE = 60;
const HOUR = 3_600;
const DAY = 86_400;
const STEPS = [
  1, 2, 5, 10, 15, 30,
  MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE,
  HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR,
  DAY, 2 * DAY, 3 * DAY, 7 * DAY, 14 * DAY,
];
const MONTH_STEPS = [1, 2, 3, 6, 12, 24, 60];
const MONTH_S = 30.4 * DAY;
/** Days from 1 January 1970 to a Monday. */
const FIRST_MONDAY = 4;
/** More marks than any axis has: a time zone's tricks must not make a loop without an end. */
const MOST = 60;

/**
 * At most `most` + 1 marks over [start, end]: instants and their words.
 * @param {number} start @param {number} end unix seconds
 * @param {number} most
 * @returns {[number, string][]}
 */
export function axis(start, end, most) {
  const wanted = (end - start) / most;
  const step = STEPS.find((s) => s >= wanted);
  if (step === undefined) {
    const months = MONTH_STEPS.find((m) => m * MONTH_S >= wanted) ?? 60;
    return everyMonths(start, end, months).map((at) => [at, monthMark(at)]);
  }
  const found = step < DAY ? within(start, end, step) : everyDays(start, end, step / DAY);
  return found.map((at) => [at, mark(at, step)]);
}

/** Marks of a clock: they count from each midnight, whatever the clock did in the night. */
function within(/** @type {number} */ start, /** @type {number} */ end, /** @type {number} */ step) {
  const found = [];
  let midnight = date(start).setHours(0, 0, 0, 0) / 1000;
  while (midnight <= end && found.length < MOST) {
    const next = date(midnight + 1.5 * DAY).setHours(0, 0, 0, 0) / 1000;
    const day = date(midnight);
    // A clock that was set forward or back has a day of 23 or 25 hours: wall time counts.
    const skipped = Math.max(0, Math.floor((start - midnight - 2 * HOUR) / step));
    for (let wall = skipped * step; wall < DAY; wall += step) {
      const moment = new Date(day.getFullYear(), day.getMonth(), day.getDate(), 0, 0, wall);
      const at = moment.getTime() / 1000;
      if (at > end) break;
      if (at >= start && at < next && at > (found[found.length - 1] ?? -1)) found.push(at);
    }
    midnight = next;
  }
  return found;
}

/** @param {number} start @param {number} end @param {number} days */
function everyDays(start, end, days) {
  const found = [];
  const first = date(start);
  let day = Date.UTC(first.getFullYear(), first.getMonth(), first.getDate()) / 1000 / DAY;
  const shift = days > 2 ? FIRST_MONDAY : 0;
  for (day -= (((day - shift) % days) + days) % days; found.length < MOST; day += days) {
    const utc = date(day * DAY);
    const at = new Date(utc.getUTCFullYear(), utc.getUTCMonth(), utc.getUTCDate()).getTime() / 1000;
    if (at > end) break;
    if (at >= start) found.push(at);
  }
  return found;
}

/** @param {number} start @param {number} end @param {number} months */
function everyMonths(start, end, months) {
  const found = [];
  const first = date(start);
  let number = first.getFullYear() * 12 + first.getMonth();
  for (number -= number % months; found.length < MOST; number += months) {
    const at = new Date(Math.floor(number / 12), number % 12, 1).getTime() / 1000;
    if (at > end) break;
    if (at >= start) found.push(at);
  }
  return found;
}

/** @param {number} at @param {number} step */
function mark(at, step) {
  const moment = date(at);
  const midnight = !moment.getHours() && !moment.getMinutes() && !moment.getSeconds();
  return step >= DAY || midnight ? dayWords(at) : clock(at, step < MINUTE);
}

/** @param {number} at */
function monthMark(at) {
  const moment = date(at);
  return moment.getMonth() ? MONTHS[moment.getMonth()] : String(moment.getFullYear());
}

/** @param {number} at */
function date(at) {
  return new Date(at * 1000);
}

/** `22 Nov`. @param {number} at */
function dayWords(at) {
  return `${date(at).getDate()} ${MONTHS[date(at).getMonth()]}`;
}

/** @param {number} at @param {boolean} seconds */
export function clock(at, seconds) {
  const moment = date(at);
  const parts = [moment.getHours(), moment.getMinutes(), ...(seconds ? [moment.getSeconds()] : [])];
  return parts.map((part) => String(part).padStart(2, "0")).join(":");
}

/**
 * `22 Nov 14:03`, with the year where it is not `now`'s.
 * @param {number} at @param {number} now unix seconds
 * @param {boolean} seconds whether they matter
 */
export function instantWords(at, now, seconds = false) {
  const year = date(at).getFullYear();
  const other = year === date(now).getFullYear() ? "" : ` ${year}`;
  return `${dayWords(at)}${other} ${clock(at, seconds)}`;
}

/** Both ends of a range; the day stands once where it is the same. @param {number} start @param {number} end @param {number} now */
export function windowWords(start, end, now) {
  const seconds = end - start < HOUR;
  const last = instantWords(end, now, seconds);
  const one = date(start).toDateString() === date(end).toDateString();
  return `${instantWords(start, now, seconds)} – ${one ? clock(end, seconds) : last}`;
}

/** An instant as long as a bucket is wide: a day, a minute, a second. @param {number} at @param {number} step @param {number} now */
export function bucketWords(at, step, now) {
  return step >= DAY ? instantWords(at, now).replace(/ [^ ]+$/, "") : instantWords(at, now, step < MINUTE);
}

/** An instant as a field for date and time has it. @param {number} at */
export function fieldText(at) {
  const moment = date(at);
  const two = (/** @type {number} */ part) => String(part).padStart(2, "0");
  const day = `${moment.getFullYear()}-${two(moment.getMonth() + 1)}-${two(moment.getDate())}`;
  return `${day}T${clock(at, true)}`;
}

/** The name of the browser's time zone, as short as it is known. */
export function zone() {
  const parts = new Intl.DateTimeFormat("en", { timeZoneName: "short" }).formatToParts(new Date());
  return parts.find((part) => part.type === "timeZoneName")?.value ?? "";
}
