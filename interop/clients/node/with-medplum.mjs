// @medplum/core: the client of another FHIR server, against this one.

import { MedplumClient, MemoryStorage } from '@medplum/core';
import { check, end, equal, holds, refused } from './checks.mjs';
import * as scenario from './scenario.mjs';
import { IDENTIFIER_SYSTEM, OBSERVATIONS, PAGE } from './scenario.mjs';

const told = scenario.world();
const make = scenario.templates(told);
const fetch = scenario.recordingFetch(told, 'medplum');

function signedIn(accessToken) {
  const baseUrl = told.fhir.replace(/fhir$/, '');
  // Without its cache, so that each call asks the gateway.
  return new MedplumClient({ baseUrl, fhirUrlPath: 'fhir', accessToken, fetch, cacheTime: 0, storage: new MemoryStorage() });
}

const client = signedIn(told.token);
const key = scenario.fresh('medplum');
const lastStatus = () => fetch.statuses.at(-1);
let patient;
const ids = [];

await check('capability statement', async () => scenario.checkCapabilities(await client.get(client.fhirUrl('metadata'))));
await check('a wrong token is refused', async () => {
  await refused(() => signedIn('not-a-token').readResource('Patient', '1'));
  equal(lastStatus(), 401, 'status');
  scenario.checkOutcome(fetch.bodies.at(-1));
});
await check('create', async () => {
  patient = await client.createResource(make.patient(key));
  equal([lastStatus(), patient.meta.versionId], [201, '1'], 'status and version');
});
await check('read gives back what was written', async () => {
  equal(scenario.content(await client.readResource('Patient', patient.id)), make.patient(key), 'content');
});
await check('update', async () => {
  const updated = await client.updateResource({ ...patient, active: false });
  equal(updated.meta.versionId, '2', 'version');
});
await check('update of an old version is refused with 412', async () => {
  const options = { headers: { 'If-Match': 'W/"1"' } };
  const { outcome } = await refused(() => client.updateResource({ ...patient, gender: 'other' }, options));
  equal(lastStatus(), 412, 'status');
  scenario.checkOutcome(outcome);
  equal((await client.readResource('Patient', patient.id)).gender, 'female', 'gender, which would change');
});
await check('JSON Patch', async () => {
  const patched = await client.patchResource('Patient', patient.id, [{ op: 'replace', path: '/gender', value: 'other' }]);
  equal([patched.gender, patched.active, patched.meta.versionId], ['other', false, '3'], 'patched');
});
await check('vread', async () => {
  const first = await client.readVersion('Patient', patient.id, '1');
  equal([first.active, first.meta.versionId], [true, '1'], 'first version');
});
await check('history', async () => {
  scenario.checkHistory(await client.readHistory('Patient', patient.id), ['3', '2', '1']);
});
await check('search with paging to the end', async () => {
  for (let number = 0; number < OBSERVATIONS; number += 1) {
    ids.push((await client.createResource(make.observation(`${key}-${number}`, `Patient/${patient.id}`))).id);
  }
  const pages = [];
  for await (const page of client.searchResourcePages('Observation', { patient: patient.id, _count: PAGE })) {
    pages.push(page.map((one) => one.id));
    holds(pages.length <= OBSERVATIONS, 'the pages do not end');
  }
  scenario.checkPages(pages, ids);
});
await check('search by identifier', async () => {
  const found = await client.searchOne('Patient', { identifier: `${IDENTIFIER_SYSTEM}|${key}` });
  equal(found?.id, patient.id, 'id');
});
await check('POST _search', async () => {
  const body = new URLSearchParams({ patient: patient.id, code: '8867-4' }).toString();
  const url = client.fhirUrl('Observation', '_search');
  const bundle = await client.post(url, body, 'application/x-www-form-urlencoded');
  equal(bundle.entry.map((entry) => entry.resource.id).sort(), [...ids].sort(), 'ids');
});
await check('conditional create of what exists creates nothing', async () => {
  const query = `identifier=${IDENTIFIER_SYSTEM}|${key}`;
  const once = await client.createResourceIfNoneExist(make.patient(key), query);
  equal([lastStatus(), once.id], [200, patient.id], 'status and id');
});
await check('conditional update, which the client calls upsert', async () => {
  const query = { identifier: `${IDENTIFIER_SYSTEM}|${key}` };
  const updated = await client.upsertResource({ ...make.patient(key), birthDate: '1970' }, query);
  equal([updated.id, updated.birthDate], [patient.id, '1970'], 'id and birth date');
});
await check('$validate', async () => {
  equal((await client.validateResource(make.patient(key))).resourceType, 'OperationOutcome', 'type');
});
await check('transaction with urn:uuid references', async () => {
  const created = scenario.checkTransactionAnswer(await client.executeBatch(make.transaction(`${key}-transaction`)));
  const observation = await client.readReference({ reference: created.Observation });
  scenario.checkReferences(observation, created);
});
await check('$everything', async () => {
  scenario.checkEverything(await client.readPatientEverything(patient.id), patient.id, ids);
});
await check('delete, then 410', async () => {
  await client.deleteResource('Observation', ids[0]);
  const { outcome } = await refused(() => client.readResource('Observation', ids[0]));
  equal(lastStatus(), 410, 'status');
  scenario.checkOutcome(outcome);
});
end();
