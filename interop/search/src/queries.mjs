// Values to ask for, drawn from what a parameter found in the data: present, near to it, absent, in other case, with
// every prefix and modifier. Each is `{kind, modifier, value}`, the value escaped as search.html#escaping says.
import { compareDecimals, decimal, plus, written } from './numbers.mjs';
import { quantityOf, rangeOf, stringsOf, tokensOf } from './match.mjs';
import { localReference } from './resources.mjs';

export const PREFIXES = ['', 'eq', 'ne', 'gt', 'lt', 'ge', 'le', 'sa', 'eb', 'ap'];
const ABSENT = 'Zzyzx-absent';
const TEXT_LENGTH_MAX = 60;
const DAY = 86_400_000;

/** All questions about one found value of a parameter of the type. */
export function questions(type, found) {
  const make = { string: strings, token: tokens, date: dates, number: numbers, quantity: quantities,
    reference: references, uri: uris }[type];
  return make ? make(found).filter(({ value }) => value !== '') : [];
}

/** A backslash before each separator. */
export function escape(text) {
  return text.replace(/[\\,|$]/g, '\\$&');
}

/** One plain value that finds `found`, for composites and chains. */
export function plain(type, found) {
  if (type === 'date') return rangeOf(found) && startText(found);
  if (type === 'token') {
    const [token] = tokensOf(found).filter(({ code }) => code !== undefined);
    return token && (token.system ? `${escape(token.system)}|${escape(token.code)}` : escape(token.code));
  }
  return questions(type, found).find(({ modifier }) => modifier === undefined)?.value;
}

function strings(found) {
  return stringsOf(found).filter((text) => text.trim() === text && /[\p{L}\p{N}]{2}/u.test(text)).slice(0, 3).flatMap((full) => {
    const text = full.length > TEXT_LENGTH_MAX ? full.slice(0, TEXT_LENGTH_MAX).trim() : full;
    const middle = /(?<=\p{L})\p{L}[\p{L} ]{1,4}(?=\p{L})/u.exec(text)?.[0].trim() ?? '';
    const exact = full.length > TEXT_LENGTH_MAX ? [] : [
      question(':exact', escape(text), 'exact'),
      question(':exact, other case', escape(swapped(text)), 'exact'),
      question(':exact, part', escape(text.slice(0, -1).trim()), 'exact'),
    ];
    return [
      question('whole', escape(text)),
      question('start', /[\p{L}\p{N}]/u.test(text.slice(0, 3)) ? escape(text.slice(0, 3).trim()) : ''),
      question('other case', escape(swapped(text))),
      question('other accents', escape(accented(text))),
      question('without accents', escape(text.normalize('NFD').replace(/\p{M}/gu, ''))),
      question('not at the start', escape(middle)),
      question('without punctuation', /[-',.]/.test(text) ? escape(text.replace(/[-',.]/g, '')) : ''),
      question('absent', ABSENT),
      question('or', `${ABSENT},${escape(text)}`),
      ...exact,
      question(':contains', escape(middle), 'contains'),
      question(':contains, other case', escape(swapped(middle)), 'contains'),
      question(':contains, absent', ABSENT, 'contains'),
    ];
  });
}

function tokens(found) {
  const plainType = !['CodeableConcept', 'Coding', 'Identifier'].includes(found.type);
  return tokensOf(found).flatMap(({ system, code, texts, kind }) => {
    const all = texts.flatMap((text) => [
      question(':text', escape(text.slice(0, 8).trim()), 'text'),
      question(':text, other case', escape(swapped(text.slice(0, 8).trim())), 'text'),
      question(':text, absent', ABSENT, 'text'),
    ]);
    if (code === undefined) return all;
    const bare = escape(code);
    all.push(question('code', bare), question('absent', ABSENT), question('or', `${ABSENT},${bare}`),
      question(':not', bare, 'not'), question(':not, absent', ABSENT, 'not'),
      question(':not, or', `${ABSENT},${bare}`, 'not'));
    if (found.type === 'string') all.push(question('code, other case', swapped(bare)));
    if (plainType) return all;
    all.push(question('|code', `|${bare}`), question('other system|code', `https://other.example|${bare}`));
    if (found.type !== 'Identifier' && system !== 'http://unitsofmeasure.org') {
      all.push(question('code, other case', swapped(bare)));
    }
    if (system) {
      all.push(question('system|code', `${escape(system)}|${bare}`), question('system|', `${escape(system)}|`),
        question('system|other code', `${escape(system)}|${ABSENT}`),
        question(':not, system|code', `${escape(system)}|${bare}`, 'not'));
    }
    for (const coding of kind?.coding ?? []) {
      const name = `${escape(coding.system ?? '')}|${escape(coding.code ?? '')}`;
      if (!coding.system || !coding.code) continue;
      all.push(question(':of-type', `${name}|${bare}`, 'of-type'),
        question(':of-type, other value', `${name}|${ABSENT}`, 'of-type'));
    }
    return all;
  });
}

function dates(found) {
  const range = rangeOf(found);
  if (!range) return [];
  const all = [];
  const ends = [range.from, range.until - 1].filter(Number.isFinite);
  for (const end of ends.slice(0, found.type === 'Period' ? 2 : 1)) {
    const iso = new Date(end).toISOString();
    const near = [-DAY, DAY].map((step) => new Date(end + step).toISOString().slice(0, 10));
    const texts = [['year', iso.slice(0, 4)], ['month', iso.slice(0, 7)], ['day', iso.slice(0, 10)],
      ['minute', `${iso.slice(0, 16)}Z`], ['second', `${iso.slice(0, 19)}Z`],
      ['day before', near[0]], ['day after', near[1]]];
    const own = startText(found);
    if (own) texts.push(['as it is written', own]);
    for (const prefix of PREFIXES.slice(0, -1)) {
      for (const [precision, text] of texts) all.push(question(`${prefix || 'no prefix'}, ${precision}`, prefix + text));
    }
    // How wide `ap` is, is left to the server: what overlaps must be found, what is centuries off not.
    all.push(question('ap, itself', `ap${iso.slice(0, 10)}`), question('ap, far', 'ap1801'), question('ap, far', 'ap2190'));
  }
  all.push(question('or', `1801,${startText(found) ?? '1802'}`));
  return all;
}

function startText({ type, value }) {
  if (type === 'Period') return value.start ?? value.end;
  return typeof value === 'string' ? value : undefined;
}

function numbers({ type, value }) {
  return aroundNumber(decimal(value), type === 'decimal').map(({ kind, value: text }) => question(kind, text));
}

function quantities(found) {
  const quantity = quantityOf(found);
  const number = quantity?.low ?? quantity?.high;
  if (!number) return [];
  const { system, code, unit } = quantity;
  const all = aroundNumber(number);
  const text = written(number);
  if (system && code) {
    const suffix = `|${escape(system)}|${escape(code)}`;
    for (const prefix of PREFIXES) all.push(question(`${prefix || 'no prefix'}, system|code`, `${prefix}${text}${suffix}`));
    all.push(question('other code', `${text}|${escape(system)}|${ABSENT}`),
      question('other system', `${text}|https://other.example|${escape(code)}`));
  }
  if (code) all.push(question('||code', `${text}||${escape(code)}`));
  if (unit) all.push(question('||unit', `${text}||${escape(unit)}`));
  return all;
}

// The number as it is, shorter, longer, and just beside it. `ap` stays clear of its edge at a tenth; `sa` and `eb` are
// not for integers.
function aroundNumber(number, decimals = true) {
  const one = { digits: 1n, exponent: number.exponent };
  const least = { digits: 1n, exponent: number.exponent - 1 };
  const longer = { digits: number.digits * 10n, exponent: number.exponent - 1 };
  const texts = [['same', number], ['more digits', longer], ['a little more', plus(longer, least)],
    ['one more', plus(number, one)], ['one less', plus(number, { digits: -1n, exponent: number.exponent })]];
  if (number.exponent < 0) texts.push(['fewer digits', shorter(number)]);
  const all = [];
  for (const prefix of PREFIXES.filter((each) => each !== 'ap' && (decimals || !['sa', 'eb'].includes(each)))) {
    for (const [kind, each] of texts) all.push(question(`${prefix || 'no prefix'}, ${kind}`, prefix + written(each)));
  }
  const percent = (part) => written({ digits: number.digits * part, exponent: number.exponent - 2 });
  all.push(question('ap, near', `ap${percent(105n)}`), question('ap, near', `ap${percent(96n)}`),
    question('ap, far', `ap${percent(130n)}`), question('ap, far', `ap${percent(70n)}`));
  all.push(question('or', `987654321,${written(number)}`));
  return all.filter(() => compareDecimals(number, { digits: 0n, exponent: 0 }) !== 0 || number.exponent === 0);
}

function shorter({ digits, exponent }) {
  const sign = digits < 0n ? -1n : 1n;
  const magnitude = digits * sign;
  return { digits: sign * (magnitude / 10n + (magnitude % 10n >= 5n ? 1n : 0n)), exponent: exponent + 1 };
}

function references({ type, value }) {
  if (typeof value === 'string') {
    if (value.startsWith('#')) return [];
    const [url, version] = value.split('|');
    return [question('url', value.replace(/[\\,$]/g, '\\$&')), question('absent', 'http://other.example/absent'),
      ...(version ? [question(':below, url', url, 'below'), question(':below, other version', `${url}|999`, 'below')] : [])];
  }
  if (type !== 'Reference') return [];
  const all = [question('absent', 'Patient/absent')];
  const local = localReference(value.reference);
  if (local) {
    const full = `${local.type}/${local.id}`;
    all.push(question('Type/id', full), question('id', local.id), question(':Type', local.id, local.type),
      question('other Type/id', `Binary/${local.id}`), question('or', `absent,${full}`));
  } else if (/^(https?|urn):/.test(value.reference ?? '')) {
    all.push(question('url', escape(value.reference)), question('other url', `${escape(value.reference)}x`));
  }
  const { system, value: code } = value.identifier ?? {};
  if (code) {
    all.push(question(':identifier', escape(code), 'identifier'),
      question(':identifier, absent', ABSENT, 'identifier'));
    if (system) all.push(question(':identifier, system|value', `${escape(system)}|${escape(code)}`, 'identifier'));
  }
  return all;
}

function uris({ value }) {
  const all = [question('whole', escape(value)), question('part', escape(value.slice(0, -1))),
    question('absent', 'http://other.example/absent'), question('or', `http://other.example,${escape(value)}`)];
  if (swapped(value) !== value) all.push(question('other case', escape(swapped(value))));
  if (!/^https?:\/\/[^/]+\/./.test(value) || value.includes('|')) return all;
  const parent = value.slice(0, value.lastIndexOf('/'));
  return [...all, question(':below, itself', escape(value), 'below'), question(':below, parent', escape(`${parent}/`), 'below'),
    question(':below, beneath it', escape(`${value}/deeper`), 'below'),
    question(':above, itself', escape(value), 'above'), question(':above, beneath it', escape(`${value}/deeper`), 'above'),
    question(':above, parent', escape(`${parent}/`), 'above')];
}

function question(kind, value, modifier) {
  return { kind, value, modifier };
}

function swapped(text) {
  const upper = text.toUpperCase();
  return text === upper ? text.toLowerCase() : upper;
}

function accented(text) {
  return text.toLowerCase().replace(/[aeiou]/, (vowel) => ({ a: 'á', e: 'è', i: 'î', o: 'ö', u: 'ũ' })[vowel]);
}
