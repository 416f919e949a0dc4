// Whether one value that a parameter found in a resource satisfies one value of a query: the rules of each parameter
// type in R4's search.html (#number, #date, #string, #token, #reference, #quantity, #uri, #composite) and its modifiers.
// What applies to a whole resource (`:missing`, `:not`, chains) is in search.mjs.
import { compareRanges, dateRange, periodRange, timingRange } from './dates.mjs';
import { compareNumbers, decimal } from './numbers.mjs';
import { localReference } from './resources.mjs';

/** A query that a server must not answer with a set of resources (search.html#errors, #modifiers). */
export class Refused extends Error {}

const CURRENCIES = 'urn:iso:std:iso:4217';
const PREFIXED = /^(eq|ne|gt|lt|ge|le|sa|eb|ap)(?=[\d+-])/;
/** Modifiers that compare values, by parameter type (search.html#modifiers). */
export const MODIFIERS = {
  string: ['exact', 'contains'],
  token: ['not', 'text', 'of-type'],
  uri: ['above', 'below'],
  reference: ['identifier', 'below'],
  number: [], date: [], quantity: [], composite: [],
};

/** Whether `found` (`{type, value}`) satisfies the query's text for a parameter `{type, component}`. */
export function matches(parameter, modifier, text, found) {
  switch (parameter.type) {
    case 'number': return matchNumber(text, found);
    case 'date': return matchDate(text, found);
    case 'string': return stringsOf(found, modifier).some((each) => matchString(modifier, unescape(text), each));
    case 'token': return matchToken(modifier, text, found);
    case 'uri': return matchUri(modifier, unescape(text), String(found.value));
    case 'quantity': return matchQuantity(text, found);
    case 'reference': return matchReference(modifier, text, found);
    case 'composite': return matchComposite(parameter, text, found);
    default: throw new Refused(`no matching is defined for type ${parameter.type}`);
  }
}

/** Parts of a query's value at each separator that no backslash protects (search.html#escaping); still escaped. */
export function split(text, separator) {
  const parts = [''];
  for (let place = 0; place < text.length; place += 1) {
    if (text[place] === '\\') parts[parts.length - 1] += text.slice(place, (place += 1) + 1);
    else if (text[place] === separator) parts.push('');
    else parts[parts.length - 1] += text[place];
  }
  return parts;
}

/** Without the backslashes. */
export function unescape(text) {
  return text.replace(/\\([\\,|$])/g, '$1');
}

/** Case, accents, punctuation and surplus spaces taken away (search.html#string). */
export function folded(text) {
  return unaccented(text).replace(/[\p{P}\p{S}]/gu, '').replace(/\s+/g, ' ').trim();
}

/** Case and accents taken away. */
export function unaccented(text) {
  return text.normalize('NFD').replace(/\p{M}/gu, '').toLowerCase();
}

/** The texts that a string parameter searches in a value: of names and addresses, their parts of type string; the parts
 *  of a family name also by themselves, but not where the entire string is asked for. */
export function stringsOf({ type, value }, modifier) {
  if (type === 'HumanName') {
    const familyParts = modifier !== 'exact' && /[\s-]/.test(value.family ?? '') ? value.family.split(/[\s-]+/).filter(Boolean) : [];
    return [...texts(value, ['text', 'family', 'given', 'prefix', 'suffix']), ...familyParts];
  }
  if (type === 'Address') return texts(value, ['text', 'line', 'city', 'district', 'state', 'postalCode', 'country']);
  return typeof value === 'string' ? [value] : [];
}

/** `[{system, code, texts}]` of a value that a token parameter searches (search.html#token, the table of types). */
export function tokensOf({ type, value }) {
  switch (type) {
    case 'CodeableConcept': {
      const codings = (value.coding ?? []).map((coding) => tokenOf(coding, coding.code, [coding.display]));
      return value.text ? [...codings, { texts: [value.text] }] : codings;
    }
    case 'Coding': return [tokenOf(value, value.code, [value.display])];
    case 'Identifier': return [{ ...tokenOf(value, value.value, [value.type?.text]), kind: value.type }];
    case 'ContactPoint': return [{ code: value.value, texts: [], exact: true }];
    default: return typeof value === 'object' ? [] : [{ code: String(value), texts: [], exact: type !== 'string' }];
  }
}

/** `{low, high, system, code, unit}` with decimals, or `undefined` where R4 does not say how to search the type. */
export function quantityOf({ type, value }) {
  if (type === 'SampledData' || typeof value !== 'object') return undefined;
  if (type === 'Range') {
    const unit = value.low ?? value.high ?? {};
    return { ...unit, low: decimal(value.low?.value), high: decimal(value.high?.value) };
  }
  const number = decimal(value.value);
  if (!number) return undefined;
  if (type === 'Money') return { low: number, high: number, system: CURRENCIES, code: value.currency };
  const low = value.comparator?.startsWith('<') ? undefined : number;
  const high = value.comparator?.startsWith('>') ? undefined : number;
  return { ...value, low, high };
}

/** Whether the value holds what the parameter's type compares: a reference or identifier, a code or text. Whether one that
 *  does not is a value for `:missing`, the page leaves open. */
export function comparable(type, found) {
  if (type === 'token') return tokensOf(found).some(({ code, system, texts: all }) => code ?? system ?? all[0]);
  if (type === 'reference') return found.value.identifier !== undefined || literalOf(found) !== undefined;
  if (type === 'date') return rangeOf(found) !== undefined;
  return type !== 'quantity' || quantityOf(found) !== undefined;
}

/** The range of time that a value covers, or `undefined`. */
export function rangeOf({ type, value }) {
  if (type === 'Period') return periodRange(value);
  if (type === 'Timing') return timingRange(value);
  return ['date', 'dateTime', 'instant'].includes(type) ? dateRange(value) : undefined;
}

function matchNumber(text, { value }) {
  const [prefix, rest] = prefixed(text);
  const searched = decimal(rest);
  if (!searched) throw new Refused(`not a number: ${rest}`);
  const number = decimal(value);
  return number !== undefined && compareNumbers(prefix, searched, { low: number, high: number });
}

function matchDate(text, found) {
  const [prefix, rest] = prefixed(text);
  const searched = dateRange(rest);
  if (!searched) throw new Refused(`not a date: ${rest}`);
  const target = rangeOf(found);
  return target !== undefined && compareRanges(prefix, searched, target);
}

function matchString(modifier, text, value) {
  if (modifier === 'exact') return value === text;
  const [field, wanted] = [folded(value), folded(text)];
  return modifier === 'contains' ? field.includes(wanted) : field.startsWith(wanted);
}

function matchToken(modifier, text, found) {
  const tokens = tokensOf(found);
  if (modifier === 'text') {
    return tokens.some((token) => token.texts.some((each) => matchString(undefined, unescape(text), each)));
  }
  const parts = split(text, '|').map(unescape);
  if (modifier === 'of-type') {
    if (parts.length !== 3) throw new Refused(':of-type needs system|code|value');
    const [system, code, value] = parts;
    return tokens.some((token) => token.code === value
      && token.kind?.coding?.some((coding) => coding.system === system && coding.code === code));
  }
  if (parts.length === 1) return tokens.some((token) => sameCode(token, parts[0]));
  const [system, code] = parts;
  return tokens.some((token) => (token.code !== undefined || token.system !== undefined)
    && (system === '' ? token.system === undefined : token.system === system)
    && (code === '' || sameCode(token, code)));
}

function matchUri(modifier, text, value) {
  if (text.startsWith('urn:')) return value === text;
  if (modifier === 'below') return value.startsWith(text);
  if (modifier === 'above') return !value.startsWith('urn:') && text.startsWith(value);
  return value === text;
}

function matchQuantity(text, found) {
  const [number, system, code] = split(text, '|').map(unescape);
  const [prefix, rest] = prefixed(number);
  const searched = decimal(rest);
  if (!searched) throw new Refused(`not a number: ${rest}`);
  const quantity = quantityOf(found);
  if (!quantity) return false;
  if (system && quantity.system !== system) return false;
  if (code && !(quantity.code === code || (!system && quantity.unit === code))) return false;
  return compareNumbers(prefix, searched, quantity);
}

function matchReference(modifier, text, { type, value }) {
  if (modifier === 'identifier') {
    return value.identifier !== undefined && matchToken(undefined, text, { type: 'Identifier', value: value.identifier });
  }
  const wanted = unescape(text);
  const literal = literalOf({ type, value });
  if (literal === undefined) return false;
  if (modifier === 'below') return typeof value === 'string' && sameVersions(literal, wanted);
  if (literal === wanted) return true;
  const local = localReference(literal);
  if (!local) return false;
  const id = modifier ? `${modifier}/${wanted}` : wanted;
  return id === `${local.type}/${local.id}` || (!modifier && id === local.id);
}

// Of a nested resource (Bundle's `composition` and `message`), the reference that would name it.
function literalOf({ type, value }) {
  if (typeof value === 'string') return value;
  if (value.resourceType) return `${value.resourceType}/${value.id}`;
  return type === 'Reference' ? value.reference : undefined;
}

// search.html#versions: `:below` takes every version that begins with the one asked for.
function sameVersions(literal, wanted) {
  const [url, version = ''] = literal.split('|');
  const [wantedUrl, wantedVersion = ''] = wanted.split('|');
  return url === wantedUrl && (version === wantedVersion || wantedVersion === '' || version.startsWith(`${wantedVersion}.`));
}

function matchComposite(parameter, text, components) {
  const parts = split(text, '$');
  if (parts.length !== parameter.component.length) throw new Refused('a composite needs a value for each component');
  return parameter.component.every((component, place) =>
    components[place].some((found) => matches(component, undefined, parts[place], found)));
}

function prefixed(text) {
  const prefix = PREFIXED.exec(text)?.[0];
  return prefix ? [prefix, text.slice(2)] : ['eq', text];
}

// Where case is in doubt a server should ignore it (search.html#token), and in strings; UCUM and ids heed it.
function sameCode(token, code) {
  if (token.code === undefined) return false;
  if (token.exact || token.system === 'http://unitsofmeasure.org') return token.code === code;
  return token.code.toLowerCase() === code.toLowerCase();
}

function tokenOf({ system }, code, all) {
  return { system, code, texts: all.filter((text) => text !== undefined) };
}

function texts(value, names) {
  return names.flatMap((name) => value[name] ?? []).filter((each) => typeof each === 'string');
}
