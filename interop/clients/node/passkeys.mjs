// A patient's browser (Chromium, headless) with an authenticator (DevTools' WebAuthn domain), for tests of passkeys.
// Usage: node passkeys.mjs CHROMIUM PROFILE SPKI
// PROFILE is an empty folder, SPKI the base64 SHA-256 of the public key of the gateway's certificate. Commands come from
// standard input, one JSON a line, and each is answered by one:
//   {"open": URL}            opens a page: {"url", "text", "policy"}
//   {"fill": [ID, TEXT]}     writes into a field
//   {"press": SELECTOR}      presses a button, and waits until something is told or another page is there: as "open"
//   {"authenticator": {..}}  puts another authenticator in place: options of WebAuthn.addVirtualAuthenticator
//   {"credentials": true}    how many passkeys it has, and how often each was used
//   {"forget": true}         forgets all cookies
//   {"send": [PATH, BODY]}   posts JSON from within the page: {"status", "body"}
//   {"token": true}          asks for an access token with the page's own form: the same

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

const [chromium, profile, spki] = process.argv.slice(2);
const browser = spawn(
  chromium,
  [
    '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage', `--user-data-dir=${profile}`,
    `--ignore-certificate-errors-spki-list=${spki}`, '--remote-debugging-pipe', 'about:blank',
  ],
  { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] },
);
process.on('exit', () => browser.kill('SIGKILL'));

// Messages are JSON, each with a zero byte at its end.
let number = 0;
let rest = '';
let session;
let policy = '';
const waiting = new Map();
browser.stdio[4].on('data', (piece) => {
  const messages = (rest + piece).split('\0');
  rest = messages.pop();
  for (const message of messages.map((text) => JSON.parse(text))) {
    if (message.method === 'Network.responseReceived' && message.params.type === 'Document') {
      policy = message.params.response.headers['content-security-policy'] ?? '';
    }
    const wait = waiting.get(message.id);
    waiting.delete(message.id);
    if (message.error) {
      wait?.reject(new Error(JSON.stringify(message.error)));
    } else {
      wait?.resolve(message.result);
    }
  }
});

function call(method, params = {}, to = session) {
  number += 1;
  const id = number;
  browser.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId: to })}\0`);
  return new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
}

async function evaluate(expression) {
  const options = { expression, awaitPromise: true, returnByValue: true, userGesture: true };
  const { result, exceptionDetails } = await call('Runtime.evaluate', options);
  if (exceptionDetails) {
    throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
  }
  return result.value;
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

// A page that is there whole.
async function page() {
  for (let tries = 0; tries < 200; tries += 1) {
    const state = await evaluate('document.readyState').catch(() => 'loading');
    if (state === 'complete') {
      const [url, text] = await evaluate('[location.href, document.body.innerText]');
      return { url, text, policy };
    }
    await pause(50);
  }
  throw new Error('the page does not load');
}

let authenticator;

async function put(options) {
  if (authenticator) {
    await call('WebAuthn.removeVirtualAuthenticator', { authenticatorId: authenticator });
  }
  const usual = {
    protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasUserVerification: true, isUserVerified: true,
    automaticPresenceSimulation: true,
  };
  const made = await call('WebAuthn.addVirtualAuthenticator', { options: { ...usual, ...options } });
  authenticator = made.authenticatorId;
  return {};
}

const commands = {
  async open(url) {
    await call('Page.navigate', { url });
    await pause(100);
    return page();
  },
  async fill([id, text]) {
    await evaluate(`document.getElementById(${JSON.stringify(id)}).value = ${JSON.stringify(text)}`);
    return {};
  },
  async press(selector) {
    await evaluate(`window.before = true; document.querySelector(${JSON.stringify(selector)}).click()`);
    for (let tries = 0; tries < 300; tries += 1) {
      const done = "!window.before || (document.getElementById('told')?.textContent ?? '') !== ''";
      if (await evaluate(done).catch(() => false)) {
        return page();
      }
      await pause(50);
    }
    throw new Error('nothing follows');
  },
  authenticator: put,
  async credentials() {
    const { credentials } = await call('WebAuthn.getCredentials', { authenticatorId: authenticator });
    return { credentials: credentials.map(({ signCount, isResidentCredential }) => ({ signCount, isResidentCredential })) };
  },
  async forget() {
    await call('Network.clearBrowserCookies');
    return {};
  },
  async send([path, body]) {
    const text = `fetch(${JSON.stringify(path)}, {method: 'POST', headers: {'Content-Type': 'application/json'},
      body: ${JSON.stringify(JSON.stringify(body))}}).then(async (r) => ({status: r.status, body: await r.text()}))`;
    return evaluate(text);
  },
  async token() {
    return evaluate(`fetch('/auth/session/token', {method: 'POST', body: new URLSearchParams({
      form: document.querySelector('[name=form]').value})}).then(async (r) => ({status: r.status, body: await r.text()}))`);
  },
};

const { targetInfos } = await call('Target.getTargets');
const target = targetInfos.find((one) => one.type === 'page');
({ sessionId: session } = await call('Target.attachToTarget', { targetId: target.targetId, flatten: true }));
await call('Page.enable');
await call('Network.enable');
await call('WebAuthn.enable');
await put({});
console.log(JSON.stringify({ ready: true }));
for await (const line of createInterface({ input: process.stdin })) {
  const [[name, value]] = Object.entries(JSON.parse(line));
  const answer = await commands[name](value).catch((error) => ({ error: error.message }));
  console.log(JSON.stringify(answer));
}
process.exit(0);
