// The published records that a run is made over, each taken as one patient's. Paths lead into the folder of open data
// (`SEALWORT_OPEN_DATA`) and, for what is archived there, into the folder that the script has unpacked it to.
import fs from 'node:fs';
import path from 'node:path';
import { readFiles, withMeta } from './resources.mjs';

/** `[{name, resources}]` of what is there; what is absent is said on standard error. */
export function readDatasets(open, unpacked) {
  const inOpen = (folder) => path.join(open, folder);
  const sources = [
    ['synthea', () => readFiles(jsonFiles(inOpen('fhir-small-synthea')).slice(2, 3))],
    ['synthea-large', () => readFiles(jsonFiles(path.join(unpacked, 'synthea')).slice(0, 1))],
    ['mimic', () => readMimic(path.join(unpacked, 'mimic'))],
    ['us-core', () => readFiles(jsonFiles(inOpen('fhir-us-core-examples')))],
    ['ips', () => readFiles(jsonFiles(inOpen('fhir-ips-2.0.0-examples')))],
    ['r4-examples', () => readFiles(jsonFiles(inOpen('fhir-r4-spec-examples')))],
  ];
  return sources.flatMap(([name, read]) => {
    try {
      return [{ name, resources: withMeta(read()) }];
    } catch (error) {
      if (error.code !== 'ENOENT') throw error;
      console.error(`SKIPPED: ${name}: ${error.path} is not there`);
      return [];
    }
  });
}

function jsonFiles(folder) {
  return fs.readdirSync(folder).filter((name) => name.endsWith('.json')).sort().map((name) => path.join(folder, name));
}

// MIMIC comes as files of many patients: one patient's lines, and what those refer to.
function readMimic(folder) {
  const lines = fs.readdirSync(folder).filter((name) => name.endsWith('.ndjson')).sort()
    .flatMap((name) => fs.readFileSync(path.join(folder, name), 'utf8').split('\n').filter(Boolean));
  const patients = lines.filter((line) => /"resourceType": ?"Patient"/.test(line)).map((line) => JSON.parse(line).id);
  const counts = patients.sort().slice(0, 12).map((id) => ({ id, own: lines.filter((line) => line.includes(id)) }));
  counts.sort((left, right) => left.own.length - right.own.length);
  const { own } = counts[Math.floor(counts.length / 2)];
  const known = new Set(own);
  const mentioned = new Set(own.join('').match(/(?<=")(Medication|Location|Organization)\/[0-9a-f-]{36}/g));
  const others = lines.filter((line) => !known.has(line)).map((line) => JSON.parse(line))
    .filter((resource) => mentioned.has(`${resource.resourceType}/${resource.id}`));
  return [...own.map((line) => JSON.parse(line)), ...others];
}
