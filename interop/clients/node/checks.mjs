// How a part tells what held: one JSON line for each check on standard output, and a last one when it came to its end.
// The lines of a part in Python (`checks.py`) are the same.

const DETAIL_CHARACTERS_MAX = 600;

export class Mismatch extends Error {
  name = 'Mismatch';
}

export async function check(name, body) {
  try {
    await body();
    tell({ check: name, passed: true, detail: '' });
  } catch (error) {
    const place = /\(?([^/\s()]+\.mjs:\d+)/.exec(error.stack ?? '')?.[1] ?? '';
    tell({ check: name, passed: false, detail: `${error.name}: ${error.message} (${place})`.slice(0, DETAIL_CHARACTERS_MAX) });
  }
}

export function end() {
  tell({ end: true });
}

export function equal(found, wanted, what) {
  // Compared as JSON with sorted members: their order says nothing.
  if (sorted(found) !== sorted(wanted)) {
    throw new Mismatch(`${what}: ${JSON.stringify(found)} instead of ${JSON.stringify(wanted)}`);
  }
}

export function holds(condition, what) {
  if (!condition) {
    throw new Mismatch(what);
  }
}

/** The error with which this must fail. */
export async function refused(body) {
  let done;
  try {
    done = await body();
  } catch (error) {
    return error;
  }
  throw new Mismatch(`it was taken: ${JSON.stringify(done)?.slice(0, 200)}`);
}

function sorted(value) {
  return JSON.stringify(value, (_, one) =>
    one !== null && typeof one === 'object' && !Array.isArray(one)
      ? Object.fromEntries(Object.entries(one).sort(([a], [b]) => (a < b ? -1 : 1)))
      : one,
  );
}

function tell(line) {
  console.log(JSON.stringify(line));
}
