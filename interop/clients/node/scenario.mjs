// What every FHIR client does, apart from how it does it. The Python clients have the same in `scenario.py`.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { randomUUID } from 'node:crypto';
import { equal, holds } from './checks.mjs';

export const IDENTIFIER_SYSTEM = 'urn:oid:2.999.7.1';
// Six Observations in pages of two: a server that ends with an empty page is found out.
export const OBSERVATIONS = 6;
export const PAGE = 2;

const INTERACTIONS = ['create', 'read', 'vread', 'update', 'delete', 'history-instance', 'search-type'];

/** The running demo, as the runner wrote it down. */
export function world() {
  if (process.argv.length !== 3) {
    throw new Error('usage: node with-….mjs WORLD.json (scripts/clients.sh starts this)');
  }
  return JSON.parse(readFileSync(process.argv[2], 'utf8'));
}

/** A `fetch` that gives up in time, remembers statuses, and writes down what was answered in JSON. */
export function recordingFetch(told, part) {
  const native = globalThis.fetch;
  const record = async (input, init = {}) => {
    const limit = AbortSignal.timeout(told.settings.limits.request_seconds * 1000);
    const response = await native(input, init.signal ? init : { ...init, signal: limit });
    record.statuses.push(response.status);
    const text = await response.clone().text();
    try {
      const body = JSON.parse(text);
      record.bodies.push(body);
      if (body.resourceType) {
        record.count += 1;
        writeFileSync(join(told.answers, `${part}-${String(record.count).padStart(3, '0')}.json`), text);
      }
    } catch {
      record.bodies.push(null);
    }
    return response;
  };
  Object.assign(record, { statuses: [], bodies: [], count: 0 });
  return record;
}

export function fresh(name) {
  return `${name}-${randomUUID()}`;
}

export function templates(told) {
  const filled = (name, values) => {
    let text = readFileSync(join(told.data, `${name}.json`), 'utf8');
    for (const [key, value] of Object.entries(values)) {
      text = text.replaceAll(`{${key}}`, value);
    }
    return JSON.parse(text);
  };
  return {
    patient: (key) => filled('patient', { key }),
    observation: (key, patient) => filled('observation', { key, patient }),
    transaction: (key) =>
      filled('transaction', { key, encounter: randomUUID(), patient: randomUUID(), observation: randomUUID() }),
  };
}

/** What the client sent: without what the server sets. */
export function content({ id: _id, meta: _meta, ...rest }) {
  return rest;
}

export function checkCapabilities(statement) {
  equal(statement.resourceType, 'CapabilityStatement', 'type');
  equal(statement.fhirVersion, '4.0.1', 'FHIR version');
  for (const kind of ['Patient', 'Observation', 'Encounter']) {
    const offered = statement.rest[0].resource.find((one) => one.type === kind).interaction.map((one) => one.code);
    equal(INTERACTIONS.filter((one) => !offered.includes(one)), [], `what ${kind} lacks`);
  }
  holds(statement.rest[0].interaction?.some((one) => one.code === 'transaction'), 'transaction is not offered');
}

export function checkOutcome(outcome) {
  equal(outcome?.resourceType, 'OperationOutcome', 'type');
  const issue = outcome.issue[0];
  holds(['error', 'fatal'].includes(issue.severity), `severity ${issue.severity}`);
  holds(issue.details?.text || issue.diagnostics, 'nothing is said to a person');
}

/** Ids of the resources on each page of a search that was followed to its end. */
export function checkPages(pages, wantedIds) {
  equal(pages.map((page) => page.length), Array(wantedIds.length / PAGE).fill(PAGE), 'entries on the pages');
  equal(pages.flat().sort(), [...wantedIds].sort(), 'ids on all pages');
}

export function checkHistory(bundle, versions) {
  equal(bundle.type, 'history', 'type of the Bundle');
  equal(bundle.entry.map((entry) => entry.resource.meta.versionId), versions, 'versions, the newest first');
}

/** References (`Patient/1`) of what a transaction created, by type. */
export function checkTransactionAnswer(bundle) {
  equal(bundle.type, 'transaction-response', 'type of the Bundle');
  equal(bundle.entry.map((entry) => entry.response.status.slice(0, 3)), ['201', '201', '201'], 'status of the entries');
  return Object.fromEntries(
    ['Encounter', 'Patient', 'Observation'].map((kind, at) => {
      const parts = bundle.entry[at].response.location.split('/');
      return [kind, parts.slice(parts.indexOf(kind)).slice(0, 2).join('/')];
    }),
  );
}

export function checkReferences(observation, created) {
  equal(observation.subject.reference, created.Patient, 'subject');
  equal(observation.encounter.reference, created.Encounter, 'encounter');
}

export function checkEverything(bundle, patientId, observationIds) {
  const found = bundle.entry.map((entry) => `${entry.resource.resourceType}/${entry.resource.id}`);
  equal(found.sort(), [`Patient/${patientId}`, ...observationIds.map((id) => `Observation/${id}`)].sort(), 'everything');
}
