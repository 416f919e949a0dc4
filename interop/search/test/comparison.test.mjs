// That a difference is seen: answers with a planted fault, and a server that pages.
import assert from 'node:assert/strict';
import http from 'node:http';
import test from 'node:test';
import { makeCases } from '../src/cases.mjs';
import { difference, table } from '../src/compare.mjs';
import { readParameters } from '../src/definitions.mjs';
import { Server } from '../src/engines.mjs';
import { Oracle } from '../src/search.mjs';

const resources = ['1990-01-01', '1980-01-01', undefined, '1970-01-01'].map((birthDate, place) =>
  ({ resourceType: 'Patient', id: `p${place}`, ...(birthDate && { birthDate }), gender: place % 2 ? 'male' : 'female',
    name: [{ family: place % 2 ? 'Young' : 'Old' }] }));
const oracle = new Oracle(resources, readParameters());
const keys = (...places) => places.map((place) => `Patient/p${place}`);

const plain = { query: 'Patient?gender=male', matches: keys(1, 3), includes: [] };
const sorted = { query: 'Patient?_sort=birthdate', matches: keys(0, 1, 2, 3), includes: [], sort: 'birthdate' };
const byTwo = { query: 'Patient?_sort=-family,-birthdate', matches: keys(0, 1, 2, 3), includes: [], sort: '-family,-birthdate' };
[
  ['the same', plain, { matches: keys(3, 1), includes: [] }, undefined],
  ['one missing', plain, { matches: keys(1), includes: [] }, /missing 1 \(Patient\/p3\), surplus 0/],
  ['one too many', plain, { matches: keys(0, 1, 3), includes: [] }, /surplus 1 \(Patient\/p0\)/],
  ['at least these', { ...plain, atLeast: true }, { matches: keys(0, 1, 3), includes: [] }, undefined],
  ['at least these, one missing', { ...plain, atLeast: true }, { matches: keys(0, 1), includes: [] }, /missing 1/],
  ['one twice', plain, { matches: keys(1, 3, 3), includes: [] }, /twice/],
  ['an include too many', plain, { matches: keys(1, 3), includes: keys(0) }, /includes: .*surplus 1/],
  ['a bare list', { ...plain, includes: keys(0) }, { matches: keys(0, 1, 3) }, undefined],
  ['a bare list with one missing', { ...plain, includes: keys(0) }, { matches: keys(1, 3) }, /results: missing 1/],
  ['refused', plain, { refused: 'no' }, /refused \(no\)/],
  ['failed', plain, { failed: '500' }, /failed/],
  ['sorted, empty last', sorted, { matches: keys(3, 1, 0, 2), includes: [] }, undefined],
  ['sorted, empty first', sorted, { matches: keys(2, 3, 1, 0), includes: [] }, undefined],
  ['sorted, empty between', sorted, { matches: keys(3, 2, 1, 0), includes: [] }, /without a value/],
  ['sorted wrongly', sorted, { matches: keys(1, 3, 0, 2), includes: [] }, /Patient\/p1 before Patient\/p3/],
  ['sorted the other way', { ...sorted, sort: '-birthdate' }, { matches: keys(3, 1, 0, 2), includes: [] }, /order/],
  ['sorted by two', byTwo, { matches: keys(1, 3, 2, 0), includes: [] }, undefined],
  ['sorted by two, second wrongly', byTwo, { matches: keys(3, 1, 2, 0), includes: [] }, /Patient\/p3 before Patient\/p1/],
  ['to be refused', { query: 'Patient?birthdate=x', refused: true }, { refused: 'no' }, undefined],
  ['to be refused, answered', { query: 'Patient?birthdate=x', refused: true }, { matches: [], includes: [] }, /shall/],
].forEach(([name, expected, answer, difference_]) => {
  test(name, () => {
    const seen = difference(oracle, expected, answer);
    if (difference_) assert.match(seen, difference_);
    else assert.equal(seen, undefined);
  });
});

test('the same seed asks the same, another asks otherwise', () => {
  assert.deepEqual(makeCases(oracle, 50, 1), makeCases(oracle, 50, 1));
  assert.notDeepEqual(makeCases(oracle, 50, 1), makeCases(oracle, 50, 2));
});

test('the table counts each row', () => {
  const rows = table([{ group: 'date', kind: 'eq, day' }, { group: 'date', kind: 'eq, day', differs: 'x' },
    { group: 'date', kind: 'eq, day', differs: 'x', listed: {} }]).split('\n');
  assert.match(rows[1], /^date +eq, day +3 +1 +1 +1$/);
  assert.match(rows[2], /^all +3 +1 +1 +1$/);
});

test('a server that pages, refuses, and fails', async () => {
  const server = http.createServer((request, response) => {
    const url = new URL(request.url, 'http://localhost');
    const entry = (place, mode) => ({ resource: resources[place], search: { mode } });
    const next = { relation: 'next', url: '/fhir/Patient?page=2' };
    const bodies = {
      '/fhir/Patient?gender=male': [200, { entry: [entry(1, 'match'), entry(0, 'include')], link: [next] }],
      '/fhir/Patient?page=2': [200, { entry: [entry(3, 'match'), entry(0, 'include')] }],
      '/fhir/Patient?birthdate=x': [400, { issue: [{ details: { text: 'not a date' } }] }],
      '/fhir/Patient/p1/$everything': [200, { entry: [entry(1)] }],
    };
    const [status, body] = request.headers.authorization === 'Bearer t' ? bodies[url.pathname + url.search] ?? [500, {}] : [401, {}];
    response.writeHead(status, { 'content-type': 'application/fhir+json' }).end(JSON.stringify(body));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    const client = new Server(`http://127.0.0.1:${server.address().port}/fhir/`, 't');
    assert.deepEqual(await client.everything('p1'), [resources[1]]);
    const [first, second, third] = await client.askAll(['Patient?gender=male', 'Patient?birthdate=x', 'Patient?gender=no']);
    assert.deepEqual(first, { matches: keys(1, 3), includes: keys(0) });
    assert.deepEqual(second, { refused: '400 not a date' });
    assert.match(third.failed, /500/);
  } finally {
    server.closeAllConnections();
    server.close();
  }
});
