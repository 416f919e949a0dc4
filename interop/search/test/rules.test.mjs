// The oracle against the examples that R4's search page itself gives, and cases that sit on an edge.
import assert from 'node:assert/strict';
import test from 'node:test';
import { matches } from '../src/match.mjs';
import { readParameters } from '../src/definitions.mjs';
import { unbundle } from '../src/resources.mjs';
import { Oracle } from '../src/search.mjs';

function check(type, [text, valueType, value, expected, modifier]) {
  test(`${type} ${modifier ?? ''} ${text} on ${JSON.stringify(value)}: ${expected}`, () => {
    assert.equal(matches({ type }, modifier, text, { type: valueType, value }), expected);
  });
}

const from21January = { start: '2013-01-21' };
[
  // The table of examples at search.html#date.
  ['eq2013-01-14', 'dateTime', '2013-01-14T00:00:00Z', true],
  ['eq2013-01-14', 'dateTime', '2013-01-14T10:00:00Z', true],
  ['eq2013-01-14', 'dateTime', '2013-01-15T00:00:00Z', false],
  ['ne2013-01-14', 'dateTime', '2013-01-15T00:00:00Z', true],
  ['ne2013-01-14', 'dateTime', '2013-01-14T10:00:00Z', false],
  ['lt2013-01-14T10:00', 'date', '2013-01-14', true],
  ['gt2013-01-14T10:00', 'date', '2013-01-14', true],
  ['ge2013-03-14', 'Period', from21January, true],
  ['le2013-03-14', 'Period', from21January, true],
  ['sa2013-03-14', 'Period', { start: '2013-03-15' }, true],
  ['sa2013-03-14', 'Period', from21January, false],
  ['sa2013-03-14', 'Period', { end: '2013-01-21' }, false],
  ['eb2013-03-14', 'Period', { start: '2013-03-15' }, false],
  ['eb2013-03-14', 'Period', from21January, false],
  ['eb2013-03-14', 'Period', { end: '2013-01-21' }, true],
  ['ap2013-03-14', 'date', '2013-03-14', true],
  ['ap1801', 'date', '2013-03-14', false],
  // Edges: precision of the value, zones, open ends, what is none.
  ['2013-01-14', 'date', '2013-01', false],
  ['2013', 'date', '2013-01', true],
  ['gt2013', 'date', '2013-12-31', false],
  ['2013-01-15', 'dateTime', '2013-01-14T22:00:00-05:00', true],
  ['2013-01-14T10:00:00.500Z', 'instant', '2013-01-14T10:00:00Z', false],
  ['2013-01-14T10:00:00Z', 'instant', '2013-01-14T10:00:00.500Z', true],
  ['2013', 'Timing', { event: ['2013-02-01', '2014-02-01'] }, false],
  ['eq2013', 'Timing', { repeat: { boundsPeriod: { start: '2013-02', end: '2013-03' } } }, true],
  ['2013', 'string', '2013', false],
  ['eb2024-09-21T18:53:00.8116604Z', 'instant', '2024-09-21T18:53:00.8116604Z', false],
].forEach((each) => check('date', each));

[
  // search.html#number
  ['100', 'decimal', 100, true],
  ['100', 'decimal', 99.5, true],
  ['100', 'decimal', 100.5, false],
  ['100.00', 'decimal', 100.004, true],
  ['100.00', 'decimal', 100.01, false],
  ['lt100', 'decimal', 99.9, true],
  ['le100', 'decimal', 100, true],
  ['gt100', 'decimal', 100, false],
  ['ge100', 'decimal', 100, true],
  ['ne100', 'decimal', 100.2, false],
  ['ne100', 'decimal', 101, true],
  ['2.5', 'integer', 2, false],
  ['2.0', 'integer', 2, true],
  ['-1', 'decimal', -1.4, true],
  ['ap100', 'decimal', 110, true],
  ['ap100', 'decimal', 111, false],
].forEach((each) => check('number', each));

const milligrams = { value: 5.4, unit: 'mg', system: 'http://unitsofmeasure.org', code: 'mg' };
[
  ['5.4|http://unitsofmeasure.org|mg', 'Quantity', milligrams, true],
  ['5.40e-3|http://unitsofmeasure.org|g', 'Quantity', milligrams, false],
  ['5.4||mg', 'Quantity', milligrams, true],
  ['5.4', 'Quantity', milligrams, true],
  ['5', 'Quantity', milligrams, true],
  ['5.40', 'Quantity', milligrams, true],
  ['5.41', 'Quantity', milligrams, false],
  ['le5.4|http://unitsofmeasure.org|mg', 'Quantity', milligrams, true],
  ['gt5', 'Quantity', { value: 3, comparator: '>' }, true],
  ['lt2', 'Quantity', { value: 3, comparator: '>' }, false],
  ['12', 'Money', { value: 12.2, currency: 'EUR' }, true],
  ['12|urn:iso:std:iso:4217|USD', 'Money', { value: 12.2, currency: 'EUR' }, false],
  ['gt40', 'Range', { low: { value: 30 }, high: { value: 41 } }, true],
  ['sa29', 'Range', { low: { value: 30 } }, true],
  ['le30', 'Range', { low: { value: 30 } }, true],
  ['lt30', 'Range', { low: { value: 30 } }, false],
].forEach((each) => check('quantity', each));

const eve = { family: 'Évelyn', given: ['Severine'], use: 'official' };
[
  ['eve', 'HumanName', eve, true],
  ['eve', 'string', 'Severine', false],
  ['eve', 'string', 'Severine', true, 'contains'],
  ['Eve', 'string', 'eve', false, 'exact'],
  ['Eve', 'string', 'Eve', true, 'exact'],
  ['Eve', 'string', 'Evelyn', false, 'exact'],
  ['official', 'HumanName', eve, false],
  ['home', 'Address', { use: 'home', city: 'Ghent' }, false],
  ['GHE', 'Address', { use: 'home', city: 'Ghent' }, true],
  ['a\\,b', 'string', 'A,b', true],
  ['obrien', 'string', "O'Brien", true],
  ['two  words', 'string', 'Two words', true],
  ['quinones', 'HumanName', { family: 'Carreno Quinones' }, true],
].forEach((each) => check('string', each));

const coding = { system: 'http://acme.org/conditions/codes', code: 'ha125', display: 'Headache, tension' };
const identifier = { system: 'http://acme.org', value: '446053', type: { coding: [{ system: 's', code: 'MR' }] } };
[
  ['ha125', 'Coding', coding, true],
  ['HA125', 'Coding', coding, true],
  ['http://acme.org/conditions/codes|ha125', 'Coding', coding, true],
  ['http://acme.org/conditions/codes|', 'CodeableConcept', { coding: [coding] }, true],
  ['|ha125', 'Coding', coding, false],
  ['|ha125', 'Coding', { code: 'ha125' }, true],
  ['ha12', 'Coding', coding, false],
  ['headache', 'Coding', coding, true, 'text'],
  ['tension', 'Coding', coding, false, 'text'],
  ['s|MR|446053', 'Identifier', identifier, true, 'of-type'],
  ['s|MR|446054', 'Identifier', identifier, false, 'of-type'],
  ['s|SS|446053', 'Identifier', identifier, false, 'of-type'],
  ['true', 'boolean', true, true],
  ['ABC', 'string', 'abc', true],
  ['MG', 'Coding', { system: 'http://unitsofmeasure.org', code: 'mg' }, false],
].forEach((each) => check('token', each));

[
  ['http://acme.org/fhir', 'uri', 'http://acme.org/fhir', true],
  ['http://acme.org/FHIR', 'uri', 'http://acme.org/fhir', false],
  ['http://acme.org/fhir/', 'uri', 'http://acme.org/fhir/ValueSet/1', true, 'below'],
  ['http://acme.org/fhir/ValueSet/1/x', 'uri', 'http://acme.org/fhir', true, 'above'],
  ['http://acme.org/fhir', 'uri', 'http://acme.org/fhir/ValueSet/1', false, 'above'],
  ['urn:oid:1.2', 'uri', 'urn:oid:1.2.3', false, 'below'],
].forEach((each) => check('uri', each));

[
  ['23', 'Reference', { reference: 'Patient/23' }, true],
  ['Patient/23', 'Reference', { reference: 'Patient/23' }, true],
  ['23', 'Reference', { reference: 'Patient/23' }, true, 'Patient'],
  ['23', 'Reference', { reference: 'Patient/23' }, false, 'Group'],
  ['Patient/2', 'Reference', { reference: 'Patient/23' }, false],
  ['23', 'Reference', { reference: '#23' }, false],
  ['http://a.org|1', 'Reference', { identifier: { system: 'http://a.org', value: '1' } }, true, 'identifier'],
  ['http://a.org|2', 'Reference', { identifier: { system: 'http://a.org', value: '1' } }, false, 'identifier'],
  ['http://a.org/q|1.0', 'canonical', 'http://a.org/q|1.0', true],
  ['http://a.org/q', 'canonical', 'http://a.org/q|1.0', true, 'below'],
  ['http://a.org/q|1', 'canonical', 'http://a.org/q|1.1', true, 'below'],
  ['http://a.org/q|1', 'canonical', 'http://a.org/q|11.0', false, 'below'],
  ['Composition/c', 'Composition', { resourceType: 'Composition', id: 'c' }, true],
].forEach((each) => check('reference', each));

const blood = {
  resourceType: 'Observation', id: 'bp', subject: { reference: 'urn:uuid:1' }, code: { coding: [{ code: 'bp' }] },
  component: [{ code: { coding: [{ code: 'sys' }] }, valueQuantity: { value: 120 } },
    { code: { coding: [{ code: 'dia' }] }, valueQuantity: { value: 70 } }],
};
const someone = { resourceType: 'Patient', id: 'p', name: [eve], managingOrganization: { reference: 'Organization/o' } };
const request = {
  resourceType: 'MedicationRequest', id: 'm', medicationReference: { reference: '#med' }, subject: { reference: 'Patient/p' },
  contained: [{ resourceType: 'Medication', id: 'med', ingredient: [{ itemCodeableConcept: { coding: [{ code: 'abc' }] } }] }],
};
const valueSet = { resourceType: 'ValueSet', id: 'v', url: 'http://a.org/v', version: '2' };
const resources = unbundle({ entry: [{ fullUrl: 'urn:uuid:1', resource: someone }, { resource: blood },
  { resource: { resourceType: 'Organization', id: 'o', name: 'Acme' } }, { resource: request }, { resource: valueSet }] });
const oracle = new Oracle(resources, readParameters());

[
  ['Observation?subject=Patient/p', ['Observation/bp'], []],
  ['Observation?patient=p', ['Observation/bp'], []],
  ['Observation?code:not=bp', [], []],
  ['Observation?category:not=vital-signs', ['Observation/bp'], []],
  ['Observation?category:missing=true', ['Observation/bp'], []],
  ['Observation?code:missing=true', [], []],
  ['Observation?component-code-value-quantity=sys$gt100', ['Observation/bp'], []],
  ['Observation?component-code-value-quantity=dia$gt100', [], []],
  ['Observation?code=bp&code=sys', [], []],
  ['Observation?code=sys,bp', ['Observation/bp'], []],
  ['Observation?subject:Patient.name=eve', ['Observation/bp'], []],
  ['Observation?subject:Group.name=eve', [], []],
  ['Observation?subject.organization.name=acme', ['Observation/bp'], []],
  ['Patient?_has:Observation:patient:code=bp', ['Patient/p'], []],
  ['Patient?_has:Observation:patient:code=sys', [], []],
  ['Organization?_has:Patient:organization:_has:Observation:patient:code=bp', ['Organization/o'], []],
  ['Observation?_include=Observation:subject', ['Observation/bp'], ['Patient/p']],
  ['Observation?_include=Observation:subject&_include=Patient:organization', ['Observation/bp'], ['Patient/p']],
  ['Observation?_include=Observation:subject&_include:iterate=Patient:organization', ['Observation/bp'],
    ['Patient/p', 'Organization/o']],
  ['Observation?_include=Observation:subject:Group', ['Observation/bp'], []],
  ['MedicationRequest?medication.ingredient-code=abc', ['MedicationRequest/m'], []],
  ['MedicationRequest?medication.ingredient-code=abd', [], []],
  ['Medication?ingredient-code=abc', [], []],
  ['ValueSet?url=http://a.org/v|2', ['ValueSet/v'], []],
  ['ValueSet?url=http://a.org/v|3', [], []],
  ['MedicationRequest?_include=MedicationRequest:*', ['MedicationRequest/m'], ['Patient/p']],
  ['Patient?_revinclude=Observation:subject', ['Patient/p'], ['Observation/bp']],
].forEach(([query, expected, included]) => {
  test(query, () => assert.deepEqual(oracle.search(query), { matches: expected, includes: included }));
});
