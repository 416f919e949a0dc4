// Runs the conformance table: makes the cases, asks the engine, compares. See README.md for the arguments.
import fs from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { makeCases, parameterOf } from './src/cases.mjs';
import { difference, table } from './src/compare.mjs';
import { readDatasets } from './src/datasets.mjs';
import { readParameters } from './src/definitions.mjs';
import { Server, askProgram } from './src/engines.mjs';
import { ruleFor } from './src/rules.mjs';
import { Oracle } from './src/search.mjs';
import { readFiles } from './src/resources.mjs';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    program: { type: 'string' }, url: { type: 'string' }, token: { type: 'string' }, patient: { type: 'string' },
    open: { type: 'string' }, unpacked: { type: 'string' }, out: { type: 'string', default: '.' },
    limit: { type: 'string', default: '6000' }, seed: { type: 'string', default: '1' },
    show: { type: 'string', default: '40' },
  },
});

const started = Date.now();
const parametersOf = readParameters();
const disagreements = JSON.parse(fs.readFileSync(new URL('disagreements.json', import.meta.url), 'utf8'));
const server = options.url && new Server(options.url, options.token);
fs.mkdirSync(options.out, { recursive: true });
const written = fs.createWriteStream(path.join(options.out, 'cases.ndjson'));
const results = [];

for (const { name, resources } of await datasets()) {
  const oracle = new Oracle(resources, parametersOf);
  const cases = makeCases(oracle, Number(options.limit), Number(options.seed));
  const file = path.join(options.out, `${name}.ndjson`);
  fs.writeFileSync(file, resources.map((resource) => `${JSON.stringify(resource)}\n`).join(''));
  for (const each of cases) written.write(`${JSON.stringify({ dataset: name, ...each })}\n`);
  console.error(`${name}: ${resources.length} resources, ${cases.length} cases, ${coverage(oracle, cases)}`);
  const queries = cases.map((each) => scoped(oracle, each.query));
  const asked = Date.now();
  const answers = server ? await server.askAll(queries)
    : options.program ? await askProgram(options.program, [file], queries) : undefined;
  if (!answers) continue;
  console.error(`${name}: answered in ${Date.now() - asked} ms`);
  cases.forEach((each, place) => {
    const differs = difference(oracle, each, answers[place]);
    const listed = differs && disagreements.find((one) => new RegExp(one.query).test(each.query)
      && (!one.dataset || one.dataset === name) && (!one.kind || `${each.group} ${each.kind}`.startsWith(one.kind)));
    results.push({ ...each, dataset: name, differs, listed });
  });
}
written.end();
report();

async function datasets() {
  if (server) return [{ name: 'server', resources: await server.everything(options.patient) }];
  if (positionals.length) return [{ name: 'given', resources: readFiles(positionals) }];
  return readDatasets(options.open, options.unpacked);
}

// How many parameters that have a value here, counted once for each resource type, some case asks for.
function coverage(oracle, cases) {
  const asked = new Set(cases.map(parameterOf));
  const types = [...new Set(oracle.resources.map((resource) => resource.resourceType))];
  const present = types.flatMap((type) => [...oracle.parametersOf(type).keys()]
    .filter((code) => oracle.resources.some((each) => each.resourceType === type && oracle.values.of(each, code).length))
    .map((code) => `${type}?${code}`));
  return `${present.filter((each) => asked.has(each)).length} of ${present.length} parameters with values`;
}

// A gateway answers for one patient; where every resource of the type says whose it is, the query may say so too.
function scoped(oracle, query) {
  if (!server) return query;
  const [type] = query.split('?');
  const own = oracle.resources.filter((resource) => resource.resourceType === type);
  const named = oracle.parametersOf(type).has('patient')
    && own.every((resource) => oracle.satisfies(resource, 'patient', options.patient));
  return named ? `${query}${query.includes('?') ? '&' : '?'}patient=${options.patient}` : query;
}

function report() {
  if (!results.length) return;
  console.log(table(results));
  const open = results.filter(({ differs, listed }) => differs && !listed);
  for (const each of open.slice(0, Number(options.show))) {
    console.log(`\n${each.dataset}: ${each.query}\n  ${each.group} ${each.kind}: ${each.differs}\n  ${ruleFor(each)}`);
  }
  if (open.length > Number(options.show)) console.log(`\n… and ${open.length - Number(options.show)} more`);
  const used = new Set(results.map(({ listed }) => listed).filter(Boolean));
  for (const each of disagreements.filter((one) => !used.has(one))) {
    console.log(`\nno case met this entry of disagreements.json: ${each.query}`);
  }
  const listed = results.filter((each) => each.listed).length;
  console.log(`\n${results.length} cases, ${open.length} differences, ${listed} listed ones, `
    + `${Math.round((Date.now() - started) / 1000)} s`);
  process.exitCode = open.length ? 1 : 0;
}
