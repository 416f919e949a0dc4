// fhir-kit-client: the whole life of a patient's record, and where SMART is found.

import { Client } from 'fhir-kit-client';
import { check, end, equal, holds, refused } from './checks.mjs';
import * as scenario from './scenario.mjs';
import { IDENTIFIER_SYSTEM, OBSERVATIONS, PAGE } from './scenario.mjs';

const told = scenario.world();
const make = scenario.templates(told);
// This client always takes the global one.
const fetch = scenario.recordingFetch(told, 'kit');
globalThis.fetch = fetch;
const client = new Client({ baseUrl: told.fhir, bearerToken: told.token });
const key = scenario.fresh('kit');
const statusOf = (answer) => Client.httpFor(answer).response.status;
const named = (what) => `identifier=${encodeURIComponent(`${IDENTIFIER_SYSTEM}|${what}`)}`;
let patient;
const ids = [];

await check('capability statement', async () => scenario.checkCapabilities(await client.capabilityStatement()));
// The client asks for three documents at once and takes the first that comes: each must name the endpoints.
for (let turn = 1; turn <= 5; turn += 1) {
  await check(`where SMART is found, turn ${turn}`, async () => {
    const found = await client.smartAuthMetadata();
    const base = told.fhir.replace(/\/fhir$/, '');
    equal(found.authorizeUrl?.href, `${base}/auth/authorize`, 'where users authorize');
    equal(found.tokenUrl?.href, `${base}/auth/token`, 'where tokens are given');
  });
}
await check('the statement alone names the SMART endpoints', async () => {
  const { rest } = await client.capabilityStatement();
  const smart = rest[0].security.extension.find((one) => one.url.endsWith('/oauth-uris'));
  equal(smart.extension.filter((one) => ['authorize', 'token'].includes(one.url)).length, 2, 'endpoints');
});
await check('a wrong token is refused', async () => {
  const stranger = new Client({ baseUrl: told.fhir, bearerToken: 'not-a-token' });
  const { response } = await refused(() => stranger.read({ resourceType: 'Patient', id: '1' }));
  equal(response.status, 401, 'status');
  scenario.checkOutcome(response.data);
});
await check('create', async () => {
  patient = await client.create({ resourceType: 'Patient', body: make.patient(key) });
  equal([statusOf(patient), patient.meta.versionId], [201, '1'], 'status and version');
  const { response } = Client.httpFor(patient);
  holds(response.headers.get('location')?.includes(`Patient/${patient.id}/_history/1`), 'no Location of the version');
  equal(response.headers.get('etag'), 'W/"1"', 'ETag');
});
await check('read gives back what was written', async () => {
  const read = await client.read({ resourceType: 'Patient', id: patient.id });
  equal(scenario.content(read), make.patient(key), 'content');
});
await check('update', async () => {
  const body = { ...patient, active: false };
  const updated = await client.update({ resourceType: 'Patient', id: patient.id, body });
  equal(updated.meta.versionId, '2', 'version');
});
await check('update of an old version is refused with 412', async () => {
  const body = { ...patient, gender: 'other' };
  const options = { headers: { 'If-Match': 'W/"1"' } };
  const { response } = await refused(() => client.update({ resourceType: 'Patient', id: patient.id, body, options }));
  equal(response.status, 412, 'status');
  scenario.checkOutcome(response.data);
  const read = await client.read({ resourceType: 'Patient', id: patient.id });
  equal(read.gender, 'female', 'gender, which the refused update would change');
});
await check('JSON Patch', async () => {
  const jsonPatch = [{ op: 'replace', path: '/gender', value: 'other' }];
  const options = { headers: { 'Content-Type': 'application/json-patch+json' } };
  const patched = await client.patch({ resourceType: 'Patient', id: patient.id, jsonPatch, options });
  equal([patched.gender, patched.active, patched.meta.versionId], ['other', false, '3'], 'patched');
});
await check('vread', async () => {
  const first = await client.vread({ resourceType: 'Patient', id: patient.id, version: '1' });
  equal([first.active, first.meta.versionId], [true, '1'], 'first version');
});
await check('history', async () => {
  scenario.checkHistory(await client.history({ resourceType: 'Patient', id: patient.id }), ['3', '2', '1']);
});
await check('search with paging to the end', async () => {
  for (let number = 0; number < OBSERVATIONS; number += 1) {
    const body = make.observation(`${key}-${number}`, `Patient/${patient.id}`);
    ids.push((await client.create({ resourceType: 'Observation', body })).id);
  }
  const pages = [];
  const searchParams = { patient: patient.id, _count: PAGE };
  let bundle = await client.search({ resourceType: 'Observation', searchParams });
  while (bundle && pages.length <= OBSERVATIONS) {
    pages.push((bundle.entry ?? []).map((entry) => entry.resource.id));
    bundle = await client.nextPage({ bundle });
  }
  scenario.checkPages(pages, ids);
});
await check('POST _search, with paging to the end', async () => {
  const pages = [];
  const searchParams = { patient: patient.id, _count: PAGE };
  let bundle = await client.search({ resourceType: 'Observation', searchParams, options: { postSearch: true } });
  while (bundle && pages.length <= OBSERVATIONS) {
    pages.push((bundle.entry ?? []).map((entry) => entry.resource.id));
    bundle = await client.nextPage({ bundle });
  }
  scenario.checkPages(pages, ids);
});
await check('search within the compartment of a patient', async () => {
  const compartment = { resourceType: 'Patient', id: patient.id };
  const bundle = await client.search({ resourceType: 'Observation', compartment, searchParams: { code: '8867-4' } });
  equal(bundle.entry.map((entry) => entry.resource.id).sort(), [...ids].sort(), 'ids');
});
await check('conditional create of what exists creates nothing', async () => {
  const options = { headers: { 'If-None-Exist': named(key) } };
  const once = await client.create({ resourceType: 'Patient', body: make.patient(key), options });
  equal([statusOf(once), once.id], [200, patient.id], 'status and id');
});
await check('conditional create of what does not exist creates it', async () => {
  const options = { headers: { 'If-None-Exist': named(`${key}-other`) } };
  const once = await client.create({ resourceType: 'Patient', body: make.patient(`${key}-other`), options });
  equal(statusOf(once), 201, 'status');
  holds(once.id !== patient.id, 'it is the same patient');
});
await check('conditional update', async () => {
  const searchParams = { identifier: `${IDENTIFIER_SYSTEM}|${key}` };
  const body = { ...make.patient(key), birthDate: '1970' };
  const updated = await client.update({ resourceType: 'Patient', searchParams, body });
  equal([updated.id, updated.birthDate], [patient.id, '1970'], 'id and birth date');
});
await check('transaction with urn:uuid references', async () => {
  const created = scenario.checkTransactionAnswer(await client.transaction({ body: make.transaction(`${key}-transaction`) }));
  const [resourceType, id] = created.Observation.split('/');
  const observation = await client.read({ resourceType, id });
  scenario.checkReferences(observation, created);
  const subject = await client.resolve({ reference: observation.subject.reference, context: observation });
  equal(`Patient/${subject.id}`, created.Patient, 'subject, as the client resolves it');
});
await check('$everything', async () => {
  const request = { name: 'everything', resourceType: 'Patient', id: patient.id, method: 'GET' };
  scenario.checkEverything(await client.operation(request), patient.id, ids);
});
await check('delete, then 410', async () => {
  await client.delete({ resourceType: 'Observation', id: ids[0] });
  const { response } = await refused(() => client.read({ resourceType: 'Observation', id: ids[0] }));
  equal(response.status, 410, 'status');
  scenario.checkOutcome(response.data);
});
end();
