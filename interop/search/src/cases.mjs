// Makes the cases of a run: for every resource type in the data, every parameter, prefix and modifier. The choice among
// the values is random from a fixed seed, so that two runs over the same data ask the same.
import { Refused, comparable } from './match.mjs';
import { plain, questions } from './queries.mjs';

const VALUES_EACH = 2;
const CHAINS_EACH = 2;
const CHAINABLE = ['string', 'token', 'date', 'quantity'];
const SORTABLE = ['string', 'token', 'date', 'number', 'quantity'];

/** At most `limit` cases over the oracle's resources, with the answers it expects; every kind keeps some. */
export function makeCases(oracle, limit, seed) {
  const maker = new Maker(oracle, seed);
  const types = [...new Set(oracle.resources.map((resource) => resource.resourceType))].sort();
  for (const type of types) maker.askOf(type);
  return maker.chosen(limit).map((each) => answered(oracle, each)).filter(Boolean);
}

/** `Type?parameter`, the first that a case asks for. */
export function parameterOf({ query }) {
  return query.split(/[=:.&]/)[0];
}

class Maker {
  constructor(oracle, seed) {
    this.oracle = oracle;
    this.random = generator(seed);
    this.cases = new Map();
  }

  askOf(type) {
    const resources = this.oracle.resources.filter((resource) => resource.resourceType === type);
    for (const [code, parameter] of this.oracle.parametersOf(type)) {
      const found = resources.map((resource) => this.oracle.values.of(resource, code));
      const some = this.pick(found.flat(), VALUES_EACH);
      if (!some.length) {
        if (parameter.type !== 'composite') this.add('any', ':missing, never there', type, `${code}:missing=true`);
        continue;
      }
      if (parameter.type === 'composite') this.composites(type, code, parameter, found.flat());
      else this.values(type, code, parameter, found, some);
      if (parameter.type === 'reference') this.links(type, code, parameter, resources);
      if (SORTABLE.includes(parameter.type)) this.sorts(type, code, parameter);
    }
    this.refusals(type);
    this.add('any', 'no parameter', type, '');
  }

  values(type, code, parameter, found, some) {
    for (const each of some) {
      for (const { kind, value, modifier } of questions(parameter.type, each)) {
        const name = modifier ? `${code}:${modifier}` : code;
        if (kind === 'id' && this.ambiguous(value)) continue;
        this.add(parameter.type, kind, type, `${name}=${encodeURIComponent(value)}`);
        if (this.random() < 0.05 && !kind.startsWith('ap')) this.and(type, `${name}=${encodeURIComponent(value)}`);
      }
    }
    if (code === 'url') this.versions(type);
    if (!found.flat().every((one) => comparable(parameter.type, one))) return;
    for (const value of ['true', 'false']) this.add(parameter.type, `:missing=${value}`, type, `${code}:missing=${value}`);
  }

  versions(type) {
    const versioned = this.oracle.resources.filter(({ resourceType, url, version }) => resourceType === type && url && version);
    for (const { url, version } of this.pick(versioned, 1)) {
      this.add('uri', 'url|version', type, `url=${encodeURIComponent(`${url}|${version}`)}`);
      this.add('uri', 'url|other version', type, `url=${encodeURIComponent(`${url}|999`)}`);
    }
  }

  // A bare id that several types use should be refused (search.html#reference), so nothing is expected of it.
  ambiguous(id) {
    return this.oracle.resources.filter((resource) => resource.id === id).length > 1;
  }

  // Two questions at once: the second is asked of the same type, so that both may hold.
  and(type, text) {
    if (this.lastOfType?.type === type) this.add('any', 'two parameters', type, `${this.lastOfType.text}&${text}`);
    this.lastOfType = { type, text };
  }

  composites(type, code, parameter, roots) {
    const whole = roots.filter((root) => root.every((part) => part.length));
    for (const root of this.pick(whole, 3)) {
      const texts = root.map((part, place) => plain(parameter.component[place].type, part[0]));
      if (texts.includes(undefined)) continue;
      const ask = (kind, parts) => this.add('composite', kind, type, `${code}=${encodeURIComponent(parts.join('$'))}`);
      ask('both', texts);
      ask('absent second', [texts[0], parameter.component[1].type === 'date' ? '1801' : '98765']);
      const other = plain(parameter.component[1].type, this.pick(whole, 1)[0][1][0]);
      if (other) ask('second of another', [texts[0], other]);
      if (['quantity', 'date', 'number'].includes(parameter.component[1].type)) {
        for (const prefix of ['ne', 'gt', 'le']) ask(`second with ${prefix}`, [texts[0], prefix + texts[1]]);
      }
    }
  }

  // Chains, `_has` and includes along one reference parameter.
  links(type, code, parameter, resources) {
    this.contained(type, code, resources);
    const pairs = resources.flatMap((resource) =>
      this.oracle.targets(resource, code).map((target) => ({ resource, target })));
    for (const { resource, target } of this.pick(pairs, CHAINS_EACH)) {
      const to = target.resourceType;
      for (const [name, value] of this.simple(target)) {
        if (parameter.target.length === 1) this.add('chain', 'one step', type, `${code}.${name}=${value}`);
        this.add('chain', 'one step, typed', type, `${code}:${to}.${name}=${value}`);
        this.add('chain', ':missing at the end', type, `${code}:${to}.${name}:missing=true`);
      }
      for (const [name, value] of this.simple(resource)) {
        this.add('_has', 'one step', to, `_has:${type}:${code}:${name}=${value}`);
        this.add('_has', 'absent', to, `_has:${type}:${code}:_id=absent`);
      }
      this.secondStep(type, code, target);
      this.add('_include', 'plain', type, `_include=${type}:${code}`);
      this.add('_include', 'typed', type, `_id=${resource.id}&_include=${type}:${code}:${to}`);
      this.add('_include', 'wildcard', type, `_id=${resource.id}&_include=${type}:*`);
      this.add('_revinclude', 'wildcard', to, `_id=${target.id}&_revinclude=${type}:*`);
      this.add('_revinclude', 'plain', to, `_id=${target.id}&_revinclude=${type}:${code}`);
      this.add('_revinclude', 'typed', to, `_revinclude=${type}:${code}:${to}`);
    }
  }

  // A chain looks into contained resources too.
  contained(type, code, resources) {
    const pairs = resources.flatMap((resource) => this.oracle.inside(resource, code));
    for (const target of this.pick(pairs, 1)) {
      for (const [name, value] of this.simple(target).filter(([name]) => name !== '_id')) {
        this.add('chain', 'into a contained resource', type, `${code}:${target.resourceType}.${name}=${value}`);
      }
    }
  }

  secondStep(type, code, target) {
    const to = target.resourceType;
    for (const [next, parameter] of this.oracle.parametersOf(to)) {
      if (parameter.type !== 'reference') continue;
      const [last] = this.oracle.targets(target, next);
      if (!last || this.random() < 0.5) continue;
      for (const [name, value] of this.simple(last).slice(0, 1)) {
        this.add('chain', 'two steps', type, `${code}:${to}.${next}:${last.resourceType}.${name}=${value}`);
        this.add('_has', 'then a chain', to, `_has:${type}:${code}:${code}:${to}.${next}:${last.resourceType}.${name}=${value}`);
      }
      this.add('_include', ':iterate', type, `_include=${type}:${code}&_include:iterate=${to}:${next}`);
      this.add('_revinclude', ':iterate', last.resourceType,
        `_id=${last.id}&_revinclude=${to}:${next}&_revinclude:iterate=${type}:${code}`);
    }
  }

  // Some `[name, encoded value]` that find the resource.
  simple(resource) {
    const usable = [...this.oracle.parametersOf(resource.resourceType)]
      .filter(([code, { type }]) => CHAINABLE.includes(type) && this.oracle.values.of(resource, code).length);
    return this.pick(usable, CHAINS_EACH).flatMap(([code, { type }]) => {
      const value = plain(type, this.oracle.values.of(resource, code)[0]);
      return value ? [[code, encodeURIComponent(value)]] : [];
    });
  }

  sorts(type, code, parameter) {
    for (const sign of ['', '-']) {
      this.add('_sort', `${parameter.type}, ${sign ? 'descending' : 'ascending'}`, type, `_sort=${sign}${code}`, sign + code);
      const two = `${sign}${code},-_lastUpdated`;
      if (code !== '_lastUpdated') this.add('_sort', `${parameter.type}, then another`, type, `_sort=${two}`, two);
    }
  }

  // What a server shall refuse: a modifier that the type does not have, values that are none.
  refusals(type) {
    for (const [code, parameter] of this.oracle.parametersOf(type)) {
      const wrong = { date: [['contains', '2020'], ['', '2020-13-45'], ['', 'yesterday']], number: [['', 'many']],
        quantity: [['', 'much']], token: [['exact', 'a']], string: [['of-type', 'a']] }[parameter.type];
      for (const [modifier, value] of wrong ?? []) {
        const kind = modifier ? 'modifier of another type' : 'malformed value';
        this.add('refused', kind, type, `${code}${modifier ? `:${modifier}` : ''}=${value}`, undefined, true);
      }
      this.add('refused', 'malformed :missing', type, `${code}:missing=maybe`, undefined, true);
    }
  }

  add(group, kind, type, text, sort, refused) {
    const query = text ? `${type}?${text}` : type;
    if (!this.cases.has(query)) this.cases.set(query, { group, kind, query, sort, refused });
  }

  pick(list, count) {
    const pool = [...list];
    const taken = [];
    while (pool.length && taken.length < count) {
      const place = Math.floor(this.random() * pool.length);
      taken.push(pool[place]);
      pool[place] = pool.at(-1);
      pool.pop();
    }
    return taken;
  }

  // One case for each parameter; then round about the kinds, taking one of each, until there are enough.
  chosen(limit) {
    const taken = new Set();
    const covered = new Set();
    const shuffled = this.pick([...this.cases.values()], this.cases.size);
    for (const each of shuffled) {
      const parameter = parameterOf(each);
      if (!covered.has(parameter) && !each.refused && taken.size < limit) taken.add(each);
      if (!each.refused) covered.add(parameter);
    }
    const kinds = new Map();
    for (const each of shuffled) {
      const key = `${each.group} ${each.kind}`;
      if (!kinds.has(key)) kinds.set(key, []);
      if (!taken.has(each)) kinds.get(key).push(each);
    }
    const piles = [...kinds.values()];
    while (taken.size < limit && piles.some((pile) => pile.length)) {
      for (const pile of piles) if (pile.length && taken.size < limit) taken.add(pile.pop());
    }
    return [...taken];
  }
}

function answered(oracle, { group, kind, query, sort, refused }) {
  if (refused) return { group, kind, query, refused };
  try {
    const { matches, includes } = oracle.search(query);
    return { group, kind, query, matches: matches.sort(), includes: includes.sort(), ...(sort && { sort }), ...(kind === 'ap, itself' && { atLeast: true }) };
  } catch (error) {
    // A value that R4 gives no meaning to, such as a malformed date in the data.
    if (error instanceof Refused) return undefined;
    throw error;
  }
}

// Mulberry32, a public-domain generator of 32 bits.
function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
