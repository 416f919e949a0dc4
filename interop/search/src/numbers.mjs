// Decimals without rounding, their implicit precision, and the prefixes on numbers (R4 search.html#number, #prefix).
const FORM = /^([+-]?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/;
const EXPONENT_MAX = 100;

/** `{digits, exponent}`: the value is `digits × 10^exponent`; `undefined` when the text is no decimal. */
export function decimal(text) {
  const match = FORM.exec(String(text));
  if (!match) return undefined;
  const [, sign, whole, fraction = '', exponent = '0'] = match;
  if (Math.abs(Number(exponent)) > EXPONENT_MAX) return undefined;
  return { digits: BigInt(sign + whole + fraction), exponent: Number(exponent) - fraction.length };
}

/** Negative, zero or positive, as for a sort. */
export function compareDecimals(left, right) {
  const exponent = Math.min(left.exponent, right.exponent);
  const difference = scaled(left, exponent) - scaled(right, exponent);
  return difference < 0n ? -1 : difference > 0n ? 1 : 0;
}

/** Whether a resource's value `{low, high}` (decimals; missing is open; equal for a plain number) stands to the
 *  searched number as the prefix says. `eq` and `ne` use the half-open range of the digits given, the others the exact
 *  number; `ap` takes a tenth to both sides. */
export function compareNumbers(prefix, searched, { low, high }) {
  const lowTo = (bound) => (low ? compareDecimals(low, bound) : -1);
  const highTo = (bound) => (high ? compareDecimals(high, bound) : 1);
  const half = { digits: 5n, exponent: searched.exponent - 1 };
  const contained = lowTo(plus(searched, negative(half))) >= 0 && highTo(plus(searched, half)) < 0;
  switch (prefix) {
    case 'eq': return contained;
    case 'ne': return !contained;
    case 'gt': return highTo(searched) > 0;
    case 'lt': return lowTo(searched) < 0;
    case 'ge': return highTo(searched) >= 0;
    case 'le': return lowTo(searched) <= 0;
    case 'sa': return lowTo(searched) > 0;
    case 'eb': return highTo(searched) < 0;
    case 'ap': {
      const size = searched.digits < 0n ? -searched.digits : searched.digits;
      const tenth = { digits: size, exponent: searched.exponent - 1 };
      return lowTo(plus(searched, tenth)) <= 0 && highTo(plus(searched, negative(tenth))) >= 0;
    }
    default: throw new Error(`no such prefix: ${prefix}`);
  }
}

/** The sum. */
export function plus(left, right) {
  const exponent = Math.min(left.exponent, right.exponent);
  return { digits: scaled(left, exponent) + scaled(right, exponent), exponent };
}

/** Plain digits, as a query would carry them. */
export function written({ digits, exponent }) {
  if (exponent >= 0) return String(digits * 10n ** BigInt(exponent));
  const text = String(digits < 0n ? -digits : digits).padStart(1 - exponent, '0');
  return `${digits < 0n ? '-' : ''}${text.slice(0, exponent)}.${text.slice(exponent)}`;
}

function negative({ digits, exponent }) {
  return { digits: -digits, exponent };
}

function scaled({ digits, exponent }, to) {
  return digits * 10n ** BigInt(exponent - to);
}
