// The engine under test: a program that answers queries line by line, or a FHIR server over HTTP. Both give
// `{matches, includes}` or `{refused}` for each query, in its order.
import { spawn } from 'node:child_process';
import readline from 'node:readline';

const PAGES_MAX = 500;
const REQUESTS_AT_ONCE = 8;

/** Answers of the program, which is started with the files of resources and reads queries from its standard input. */
export async function askProgram(program, files, queries) {
  const child = spawn(program, files, { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  child.stdin.on('error', () => {});
  child.stdin.end(`${queries.join('\n')}\n`);
  const answers = [];
  for await (const line of readline.createInterface({ input: child.stdout })) {
    if (line.trim()) answers.push(fromLine(JSON.parse(line)));
  }
  const code = await ended;
  if (answers.length !== queries.length) {
    throw new Error(`${program} gave ${answers.length} answers to ${queries.length} queries, exit code ${code}`);
  }
  return answers;
}

/** A FHIR server, asked with a bearer token. */
export class Server {
  constructor(base, token) {
    this.base = base.replace(/\/$/, '');
    this.headers = { accept: 'application/fhir+json', prefer: 'handling=strict', ...(token && { authorization: `Bearer ${token}` }) };
  }

  /** Everything of one patient, in all pages (`Patient/$everything`). */
  async everything(patient) {
    const entries = await this.pages(`${this.base}/Patient/${patient}/$everything`);
    if (entries.refused) throw new Error(`Patient/${patient}/$everything: ${entries.refused}`);
    return entries.map((entry) => entry.resource).filter((resource) => resource.resourceType !== 'OperationOutcome');
  }

  async askAll(queries) {
    const answers = [];
    let next = 0;
    const work = async () => {
      while (next < queries.length) {
        const place = next;
        next += 1;
        answers[place] = await this.ask(queries[place]).catch((error) => ({ failed: error.message }));
      }
    };
    await Promise.all(Array.from({ length: REQUESTS_AT_ONCE }, work));
    return answers;
  }

  async ask(query) {
    const entries = await this.pages(`${this.base}/${query}`);
    if (entries.refused) return entries;
    const of = (mode) => entries.filter((entry) => (entry.search?.mode ?? 'match') === mode)
      .map(({ resource }) => `${resource.resourceType}/${resource.id}`);
    return whole(of('match'), of('include'));
  }

  async pages(first) {
    const entries = [];
    let url = first;
    for (let page = 0; url; page += 1) {
      if (page === PAGES_MAX) throw new Error(`more than ${PAGES_MAX} pages`);
      const response = await fetch(url, { headers: this.headers });
      const body = await response.json().catch(() => ({}));
      if (response.status >= 400 && response.status < 500) return { refused: `${response.status} ${reason(body)}` };
      if (!response.ok) throw new Error(`${response.status} ${reason(body)}`);
      entries.push(...(body.entry ?? []));
      url = body.link?.find(({ relation }) => relation === 'next')?.url;
      if (url) url = new URL(url, `${this.base}/`).href;
    }
    return entries;
  }
}

function fromLine(answer) {
  if (answer.error !== undefined) return { refused: String(answer.error) };
  if (answer.ignored?.length) return { failed: `left out ${answer.ignored.join(', ')}` };
  return Array.isArray(answer) ? { matches: answer } : whole(answer.matches, answer.included);
}

// The pages of a search as one answer: an include comes with each page that needs it, and may be a match of another.
function whole(matches, included) {
  return { matches, includes: [...new Set(included)].filter((each) => !matches.includes(each)) };
}

function reason(outcome) {
  const [issue] = outcome.issue ?? [];
  return issue?.details?.text ?? issue?.diagnostics ?? '';
}
