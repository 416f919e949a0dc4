// Reads resources from Bundles, single resources and NDJSON, and makes one set of them that both engines are given.
// References to a Bundle's `fullUrl`s become `Type/id`, as a server that took the transaction would write them
// (http.html#transaction). It judges no resource.
import fs from 'node:fs';

/** All resources of the files, each once (by `Type/id`, the first wins), with references resolved inside each Bundle. */
export function readFiles(paths) {
  const found = new Map();
  for (const path of paths) {
    const text = fs.readFileSync(path, 'utf8');
    const documents = path.endsWith('.ndjson')
      ? text.split('\n').filter((line) => line.trim()).map((line) => JSON.parse(line))
      : [JSON.parse(text)];
    for (const document of documents) {
      for (const resource of isCarrier(document) ? unbundle(document) : [document]) {
        const key = `${resource.resourceType}/${resource.id}`;
        if (resource.resourceType && resource.id && !found.has(key)) found.set(key, resource);
      }
    }
  }
  return [...found.values()];
}

/** What a Bundle carries, with `urn:uuid:` and conditional references replaced by `Type/id` where the Bundle knows. */
export function unbundle(bundle) {
  const resources = (bundle.entry ?? []).map((entry) => entry.resource).filter((resource) => resource?.id);
  const named = new Map();
  for (const { fullUrl, resource } of bundle.entry ?? []) {
    if (resource?.id && fullUrl) named.set(fullUrl, `${resource.resourceType}/${resource.id}`);
  }
  for (const resource of resources) {
    for (const { system, value } of [resource.identifier ?? []].flat()) {
      named.set(`${resource.resourceType}?identifier=${system}|${value}`, `${resource.resourceType}/${resource.id}`);
    }
  }
  return resources.map((resource) => rewrite(resource, named));
}

/** The resources with `meta` filled in for some of them, so that `_lastUpdated`, `_tag` and `_security` have something
 *  to find. Which ones get what follows from the place in the list. `lastUpdated`, which a server sets itself, has
 *  milliseconds. */
export function withMeta(resources) {
  return resources.map((resource, place) => {
    const meta = { ...resource.meta };
    const day = String(1 + (place % 28)).padStart(2, '0');
    const [month, hour] = [1 + (place % 12), place % 24].map((each) => String(each).padStart(2, '0'));
    meta.lastUpdated = meta.lastUpdated?.replace(/(\.\d{3})\d+/, '$1') ?? `2025-${month}-${day}T${hour}:15:30.125Z`;
    if (place % 3 === 0) meta.tag = [...(meta.tag ?? []), { system: 'https://tags.example', code: `t${place % 5}` }];
    if (place % 5 === 0) {
      const code = place % 2 ? 'R' : 'N';
      meta.security ??= [{ system: 'http://terminology.hl7.org/CodeSystem/v3-Confidentiality', code }];
    }
    return { ...resource, meta };
  });
}

/** `{type, id}` of a literal reference that may name a resource of this server, else `undefined`
 *  (references.html#literal). */
export function localReference(text) {
  const match = /^([A-Z][A-Za-z]+)\/([A-Za-z0-9.-]{1,64})(\/_history\/[A-Za-z0-9.-]{1,64})?$/.exec(text ?? '');
  return match ? { type: match[1], id: match[2] } : undefined;
}

// A stored document or message is itself a resource; only what was made to be taken apart is.
function isCarrier(document) {
  return document.resourceType === 'Bundle' && ['transaction', 'batch', 'collection', 'searchset'].includes(document.type);
}

function rewrite(value, named) {
  if (Array.isArray(value)) return value.map((each) => rewrite(each, named));
  if (value === null || typeof value !== 'object') return value;
  const copy = {};
  for (const [key, each] of Object.entries(value)) {
    copy[key] = key === 'reference' && named.has(each) ? named.get(each) : rewrite(each, named);
  }
  return copy;
}
