// Answers a whole query over a set of resources: parameters joined by AND, values by OR, `:missing`, `:not`, chains,
// `_has`, includes, and the keys of a sort (R4 search.html). Plain loops over everything; speed is not its aim.
import { MODIFIERS, Refused, comparable, folded, matches, quantityOf, rangeOf, split, stringsOf, unaccented } from './match.mjs';
import { localReference } from './resources.mjs';
import { Values } from './values.mjs';

const RESULT = new Set(['_sort', '_include', '_revinclude', '_include:iterate', '_revinclude:iterate', '_count']);

/** One patient's resources, ready to be searched. */
export class Oracle {
  constructor(resources, parametersOf) {
    this.resources = resources;
    this.parametersOf = parametersOf;
    this.values = new Values(parametersOf);
    this.byKey = new Map(resources.map((resource) => [keyOf(resource), resource]));
  }

  /** `{matches, includes}`, sets of `Type/id`. Throws `Refused` where the query must be refused. */
  search(query) {
    const [type, text = ''] = query.split(/\?(.*)/s);
    const pairs = text.split('&').filter(Boolean).map((pair) => {
      const [name, value = ''] = pair.split(/=(.*)/s);
      return [decodeURIComponent(name), decodeURIComponent(value)];
    });
    const filters = pairs.filter(([name]) => !RESULT.has(name));
    const found = this.resources.filter((resource) =>
      resource.resourceType === type && filters.every(([name, value]) => this.satisfies(resource, name, value)));
    return { matches: found.map(keyOf), includes: this.includes(found, pairs) };
  }

  /** Whether the resource satisfies one `name=value` of a query. */
  satisfies(resource, name, value) {
    if (name.startsWith('_has:')) return this.has(resource, name, value);
    const dot = name.indexOf('.');
    if (dot >= 0) return this.chained(resource, name.slice(0, dot), name.slice(dot + 1), value);
    const [code, modifier] = name.split(':');
    const parameter = this.parameter(resource.resourceType, code);
    const found = this.values.of(resource, code);
    if (modifier === 'missing') {
      if (!['true', 'false'].includes(value)) throw new Refused(':missing takes true or false');
      return (found.length === 0) === (value === 'true');
    }
    const typed = parameter.type === 'reference' && /^[A-Z]/.test(modifier ?? '');
    if (modifier && !typed && !MODIFIERS[parameter.type].includes(modifier)) throw new Refused(`no :${modifier} here`);
    const any = split(value, ',').map((each) =>
      found.map((one) => matches(parameter, modifier === 'not' ? undefined : modifier, each, one)).includes(true));
    if (code === 'url' && !modifier && this.versioned(resource, value)) return true;
    return modifier === 'not' ? !any.includes(true) : any.includes(true);
  }

  /** The resources that a reference parameter of the resource leads to within the set, of one type if it is given;
   *  `*` is every reference parameter. */
  targets(resource, code, type) {
    const codes = code === '*' ? this.referenceCodes(resource.resourceType) : [code];
    return codes.flatMap((each) => this.values.of(resource, each)).flatMap(({ value }) => {
      const local = localReference(typeof value === 'string' ? value : value?.reference);
      const target = local && this.byKey.get(`${local.type}/${local.id}`);
      return target && (!type || target.resourceType === type) ? [target] : [];
    });
  }

  /** The resources inside the resource that a reference parameter leads to. */
  inside(resource, code, type) {
    return this.values.of(resource, code).flatMap(({ value }) => nested(resource, value))
      .filter((each) => !type || each.resourceType === type);
  }

  /** What a sort by the parameter compares, as `[start, end]`: of several values the one that comes first in that order
   *  (search.html#sort). `undefined` for a resource without a value. */
  sortKey(resource, code, descending) {
    const { type } = this.parameter(resource.resourceType, code);
    const keys = this.values.of(resource, code).flatMap((found) => sortKeysOf(type, found));
    if (!keys.length) return undefined;
    const order = (left, right) => (left < right ? -1 : left > right ? 1 : 0);
    const end = descending ? -1 : 0;
    return [0, 1].map((side) => keys.map((key) => key[side]).sort(order).at(end));
  }

  parameter(type, code) {
    const parameter = this.parametersOf(type).get(code);
    if (!parameter) throw new Refused(`${type} has no parameter ${code}`);
    return parameter;
  }

  // search.html#uri: the canonical URL of a conformance resource may be followed by its business version
  versioned(resource, value) {
    return resource.version !== undefined && value === `${resource.url}|${resource.version}`;
  }

  referenceCodes(type) {
    return [...this.parametersOf(type)].filter(([, parameter]) => parameter.type === 'reference').map(([code]) => code);
  }

  // search.html#chaining; a chain also looks into contained resources (search.html#contained)
  chained(resource, head, rest, value) {
    const [code, type] = head.split(':');
    if (this.parameter(resource.resourceType, code).type !== 'reference') throw new Refused(`${code} is no reference`);
    return [...this.targets(resource, code, type), ...this.inside(resource, code, type)].some((target) => {
      const [next] = rest.split(/[.:]/);
      const known = rest.startsWith('_has:') || this.parametersOf(target.resourceType).has(next);
      return known && this.satisfies(target, rest, value);
    });
  }

  // search.html#has: _has:Type:reference:parameter=value, where the last part may be chained or reversed again
  has(resource, name, value) {
    const [, type, code, ...rest] = name.split(':');
    return this.resources.some((other) => other.resourceType === type
      && this.targets(other, code).includes(resource) && this.satisfies(other, rest.join(':'), value));
  }

  // search.html#include
  includes(found, pairs) {
    const wanted = pairs.filter(([name]) => /^_(rev)?include/.test(name)).map(([name, value]) => {
      const [source, code, target] = value.split(':');
      return { reverse: name.startsWith('_rev'), iterate: name.endsWith(':iterate'), source, code, target };
    });
    const all = new Set(found);
    let fresh = found;
    for (let first = true; fresh.length; first = false) {
      const next = wanted.filter((each) => first || each.iterate).flatMap((each) => this.step(each, fresh));
      fresh = [...new Set(next)].filter((resource) => !all.has(resource));
      for (const resource of fresh) all.add(resource);
    }
    return [...all].slice(found.length).map(keyOf);
  }

  step({ reverse, source, code, target }, from) {
    if (!reverse) {
      return from.filter((each) => each.resourceType === source).flatMap((each) => this.targets(each, code, target));
    }
    return this.resources.filter((each) => each.resourceType === source
      && this.targets(each, code, target).some((one) => from.includes(one)));
  }
}

/** `Type/id`. */
export function keyOf(resource) {
  return `${resource.resourceType}/${resource.id}`;
}

// The contained resource that a reference names, or the resource that stands in its place.
function nested(resource, value) {
  if (value?.resourceType) return [value];
  const reference = typeof value === 'string' ? value : value?.reference;
  const id = reference?.startsWith('#') && reference.slice(1);
  return id ? (resource.contained ?? []).filter((each) => each.id === id) : [];
}

function sortKeysOf(type, found) {
  switch (type) {
    case 'date': {
      const range = rangeOf(found);
      return range ? [[range.from, range.until]] : [];
    }
    case 'number': return [[Number(found.value), Number(found.value)]];
    case 'quantity': {
      const { value } = quantityOf(found) ? found : {};
      return typeof value?.value === 'number' ? [[value.value, value.value]] : [];
    }
    // By which part of a name, address or token to sort, the page does not say: no order of two is wrong (NaN is neither
    // more nor less). How strings sort is left open too; two reasonable ways stand for the two ends.
    case 'string': return stringsOf(found)
      .map((each) => (typeof found.value === 'string' ? [folded(each), unaccented(each)] : [NaN, NaN]));
    case 'token': return comparable('token', found) ? [[NaN, NaN]] : [];
    default: return [];
  }
}
