// What each search parameter finds in each resource: HL7's expression, evaluated by the `fhirpath` package with its R4
// model. Values keep their FHIR type, because matching depends on it.
import fhirpath from 'fhirpath';
import r4 from 'fhirpath/fhir-context/r4/index.js';
import { localReference } from './resources.mjs';

/** Evaluates parameters on resources, each pair once. */
export class Values {
  constructor(parametersOf) {
    this.parametersOf = parametersOf;
    this.compiled = new Map();
    this.known = new WeakMap();
    this.options = { userInvocationTable: this.functions(), resolveInternalTypes: false };
  }

  /** `[{type, value}]` for a simple parameter; `[[{type, value}…] per component]` for each element of a composite. */
  of(resource, code) {
    if (!this.known.has(resource)) this.known.set(resource, new Map());
    const known = this.known.get(resource);
    if (!known.has(code)) {
      const parameter = this.parametersOf(resource.resourceType).get(code);
      known.set(code, parameter ? this.evaluate(resource, parameter) : []);
    }
    return known.get(code);
  }

  evaluate(resource, parameter) {
    this.resource = resource;
    const roots = this.run(parameter.expressions, resource);
    if (parameter.type !== 'composite') return roots.flatMap(typed);
    return roots.map((root) => parameter.component.map((part) => this.run(part.expressions, root).flatMap(typed)));
  }

  run(expressions, node) {
    return expressions.flatMap((expression) => {
      if (!this.compiled.has(expression)) {
        this.compiled.set(expression, fhirpath.compile(expression, r4, this.options));
      }
      return this.compiled.get(expression)(node, { resource: this.resource });
    });
  }

  functions() {
    const fn = (inputs, type) => inputs.map((input) => referredType(input?.reference, this.resource) === type);
    return { refersTo: { fn, arity: { 1: ['String'] } } };
  }
}

// The type that a literal reference names; of a contained resource, its own.
function referredType(reference, resource) {
  if (reference?.startsWith('#')) {
    return (resource.contained ?? []).find((each) => each.id === reference.slice(1))?.resourceType;
  }
  const tail = reference?.split('/').slice(-2).join('/');
  return localReference(reference)?.type ?? (/^https?:/.test(reference ?? '') ? localReference(tail)?.type : undefined);
}

// A primitive that has extensions and no value is not there to be searched.
function typed(node) {
  const value = fhirpath.util.valData(node);
  if (value === null || value === undefined) return [];
  const [type] = fhirpath.types(node);
  return [{ type: String(type ?? '').replace(/^(FHIR|System)\./, ''), value }];
}
