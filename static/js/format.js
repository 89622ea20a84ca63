/**
 * How a value is written for people: the twin of monitor/web/format.py.
 * One table in tests/web/test_format.py holds both to the same words.
 */

export const ABSENT = "–";

const BINARY = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
const DECIMAL = ["", "k", "M", "G", "T", "P", "E"];
const LONGEST_SECONDS = 1e11;
const LATEST_INSTANT = 253402300799;
const EXACT_BELOW = 10000;
const HIGHEST_TOP = 1e300;

/**
 * The words for a value in one of the catalog's styles; a dash where it is no number.
 * @param {number | null | undefined} value
 * @param {string} style
 * @returns {[number: string, unit: string]}
 */
export function written(value, style) {
  if (typeof value !== "number" || !Number.isFinite(value)) return [ABSENT, ""];
  if (style === "flag") return [value >= 0.5 ? "yes" : "no", ""];
  if (style === "duration") return [duration(value), ""];
  if (style === "instant") return instant(value);
  const found = sized(Math.abs(value), style);
  return value < 0 && /[1-9]/.test(found[0]) ? ["−" + found[0], found[1]] : found;
}

/**
 * The same as one text.
 * @param {number | null | undefined} value
 * @param {string} style
 */
export function text(value, style) {
  const [number, unit] = written(value, style);
  return unit ? `${number} ${unit}` : number;
}

/** @param {number} size @param {string} style @returns {[string, string]} */
function sized(size, style) {
  switch (style) {
    case "percent":
      return percent(size * 100);
    case "bytes":
      return scaled(size, 1024, BINARY, "");
    case "bytes_per_second":
      return scaled(size, 1024, BINARY, "/s");
    case "bits_per_second":
      return scaled(size, 1000, DECIMAL, "bit/s");
    case "per_second":
      return scaled(size, 1000, DECIMAL, "/s");
    case "hertz":
      return scaled(size, 1000, DECIMAL, "Hz");
    case "seconds":
      return seconds(size);
    case "celsius":
      return size < 9999 ? [size.toFixed(1), "°C"] : ["> 9999", "°C"];
    case "rpm":
      return size < 999999 ? [size.toFixed(0), "rpm"] : ["> 999999", "rpm"];
    case "decimal":
      return size < 999.5 ? [threeDigits(size), ""] : plain(size);
    default:
      return plain(size);
  }
}

/** @param {number} value @returns {[string, string]} */
function instant(value) {
  if (value < 0 || value > LATEST_INSTANT) return [ABSENT, ""];
  const iso = new Date(Math.floor(value) * 1000).toISOString();
  return [`${iso.slice(0, 10)} ${iso.slice(11, 16)}`, "UTC"];
}

/**
 * A length of time in its largest two units, whole.
 * @param {number} value seconds
 */
export function duration(value) {
  if (value >= LONGEST_SECONDS) return "> 3000 y";
  const left = Math.max(0, Math.floor(value));
  const of = (/** @type {number} */ unit) => Math.floor(left / unit);
  if (left < 60) return `${left} s`;
  if (left < 3600) return `${of(60)} min`;
  if (left < 86400) return `${of(3600)} h ${Math.floor((left % 3600) / 60)} min`;
  if (left < 31536000) return `${of(86400)} d ${Math.floor((left % 86400) / 3600)} h`;
  return `${of(31536000)} y ${Math.floor((left % 31536000) / 86400)} d`;
}

/** At most three significant digits and two decimals. @param {number} size */
export function threeDigits(size) {
  for (const decimals of [2, 1]) {
    const found = size.toFixed(decimals);
    if (found.length <= 4) return found;
  }
  return size.toFixed(0);
}

/**
 * The top of an axis that begins at zero and holds a value: 1, 2 or 5 of something.
 * @param {number} value
 * @param {string} style
 */
export function niceTop(value, style) {
  if (!Number.isFinite(value) || value <= 0) return style === "percent" ? 0.01 : 1;
  value = Math.min(value, HIGHEST_TOP);
  let base = 1;
  if (style === "bytes" || style === "bytes_per_second") {
    while (value / base > 500 && base < 2 ** 60) base *= 1024;
    if (value < 1) return 1;
  }
  let power = 1;
  while (value / base > power * 10) power *= 10;
  while (value / base < power) power /= 10;
  for (const step of [1, 2, 5, 10]) {
    if (step * power * base >= value) return step * power * base;
  }
  return 10 * power * base;
}

/** @param {number} size @returns {[string, string]} */
function percent(size) {
  if (size >= 999999) return ["> 999999", "%"];
  const found = size.toFixed(1);
  return [found.length <= 4 ? found : size.toFixed(0), "%"];
}

/** @param {number} size @returns {[string, string]} */
function plain(size) {
  if (size >= EXACT_BELOW - 0.5) return scaled(size, 1000, DECIMAL, "");
  return [size === Math.floor(size) ? size.toFixed(0) : threeDigits(size), ""];
}

/**
 * @param {number} size
 * @param {number} base
 * @param {string[]} prefixes
 * @param {string} unit
 * @returns {[string, string]}
 */
function scaled(size, base, prefixes, unit) {
  for (const prefix of prefixes) {
    if (size < 999.5) {
      const whole = size === 0 || prefix === "B";
      return [whole ? size.toFixed(0) : threeDigits(size), prefix + unit];
    }
    size /= base;
  }
  return ["> 999", prefixes[prefixes.length - 1] + unit];
}

/** @param {number} size @returns {[string, string]} */
function seconds(size) {
  if (size >= 60) return [duration(size), ""];
  if (size === Math.floor(size)) return [size.toFixed(0), "s"];
  if (size >= 0.9995) return [threeDigits(size), "s"];
  if (size * 1e3 >= 0.9995) return [threeDigits(size * 1e3), "ms"];
  return [threeDigits(size * 1e6), "µs"];
}
