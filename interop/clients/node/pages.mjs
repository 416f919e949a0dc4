// A browser (Chromium, headless) for tests of pages, driven over the DevTools protocol, with an authenticator for passkeys.
// Usage: node pages.mjs CHROMIUM PROFILE SPKI AXE
// PROFILE is an empty folder; SPKI the base64 SHA-256 of the public key of the server's certificate, or '-'; AXE the path of
// axe-core's axe.min.js. Commands come from standard input, one JSON a line with one name, and each is answered by one line;
// what went wrong by {"error": …}. TARGET is a CSS selector, or {"name": ACCESSIBLE NAME, "role": …, "within": SELECTOR,
// "nth": …}; THEN is "quiet" (nothing is loading any more; the usual) or "page" (another page came first). "PAGE" stands for
// {"url", "status", "title", "text", "policy", "load": {"id", "paint", "bytes"}}; "load" is of the document that was loaded
// last: milliseconds to its first contentful paint, null where there was none, and what came over the wire for it until
// nothing was loading any more.
//   {"goto": URL}                             PAGE
//   {"click": TARGET} or {"click": {"target": TARGET, "then": THEN}}    with the mouse: PAGE
//   {"press": {"key": "Tab", "times": 1, "then": THEN}}    on the keyboard; what has the focus then: {"tag", "name", "visible"}
//   {"fill": [TARGET, TEXT]}                  into a field; chooses an option of a select by its value
//   {"text": TARGET}                          {"text"}
//   {"attribute": [TARGET, NAME]}             {"attribute"}; null where there is none
//   {"count": SELECTOR}                       {"count"}
//   {"evaluate": EXPRESSION}                  {"value"}; a promise is waited for
//   {"wait": {"text" | "selector" | "url" | "expression": …}}    until the page has it: PAGE
//   {"page": true}                            PAGE
//   {"screenshot": FILE} or {"screenshot": {"file": FILE, "whole": true}}    PNG
//   {"pdf": FILE}                             the page as it prints
//   {"download": {"target": TARGET, "folder": FOLDER}}    clicks, and waits for the file: {"file", "bytes"}
//   {"theme": "light" | "dark"}, {"media": "print" | "screen"}, {"viewport": {"width", "height", "phone": true}}
//   {"cookies": [{"name", "value", "url", …}]}, {"forget": true}    sets cookies; forgets all
//   {"headers": {NAME: VALUE}}                sent with every request from now on
//   {"scripts": false}                        whether pages' JavaScript runs, from the next page on
//   {"axe": {}}                               what axe-core finds: {"violations": [{"id", "help", "nodes"}], "passes": COUNT}
//   {"requests": true}                        since the last goto: {"requests": [{"url", "origin", "type", "status", "bytes",
//                                             "failed"}], "bytes": of the document at hand, with all that it loaded}
//   {"heard": true}                           since the last goto: {"violations": of the policy, "errors", "dialogs"}
//   {"authenticator": {…}}                    puts another in place: options of WebAuthn.addVirtualAuthenticator
//   {"credentials": true}                     {"credentials": [{"signCount", "isResidentCredential"}]}

import { spawn } from 'node:child_process';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const [chromium, profile, spki, axe] = process.argv.slice(2);
const browser = spawn(
  chromium,
  [
    '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage', '--hide-scrollbars',
    '--force-color-profile=srgb', `--user-data-dir=${profile}`,
    ...(spki === '-' ? [] : [`--ignore-certificate-errors-spki-list=${spki}`]), '--remote-debugging-pipe', 'about:blank',
  ],
  { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] },
);
process.on('exit', () => browser.kill('SIGKILL'));

const PATIENCE_MILLISECONDS = 60_000;
const QUIET_MILLISECONDS = 150;
const POLL_MILLISECONDS = 25;
const MISSING_MILLISECONDS = 2_000;
// A page that is quiet has painted, or does so with its next frame.
const PAINT_MILLISECONDS = 2_000;

// What is known of the page, from events.
let main = '';
let arrivals = 0;
let document_ = { status: 0, policy: '' };
let loader = '';
let load = { id: '', paint: null, bytes: 0 };
let requests = new Map();
let inFlight = new Set();
let heard = { violations: [], errors: [], dialogs: [] };
let lastEvent = Date.now();
const downloads = new Map();

const events = {
  'Page.frameNavigated': ({ frame }) => {
    if (!frame.parentId) {
      main = frame.id;
      loader = frame.loaderId;
      arrivals += 1;
      // What the page before was still asking for ends with it, and nothing is heard of it any more.
      for (const [id, { loader: by, failed }] of requests) {
        if (by !== loader && (inFlight.has(id) || failed === 'net::ERR_ABORTED')) {
          inFlight.delete(id);
          requests.delete(id);
        }
      }
    }
  },
  // htmx puts another page in place without a new document.
  'Page.navigatedWithinDocument': ({ frameId }) => {
    arrivals += frameId === main ? 1 : 0;
  },
  'Page.javascriptDialogOpening': ({ message, type }) => {
    heard.dialogs.push(`${type}: ${message}`);
    call('Page.handleJavaScriptDialog', { accept: type === 'beforeunload' });
  },
  'Network.requestWillBeSent': ({ requestId, loaderId, request, type, redirectResponse }) => {
    const before = requests.get(requestId);
    if (redirectResponse && before) {
      const bytes = redirectResponse.encodedDataLength;
      requests.set(`${requestId}-${requests.size}`, { ...before, status: redirectResponse.status, bytes });
    }
    const { url, method } = request;
    requests.set(requestId, { url, method, type, loader: loaderId, status: 0, bytes: 0, failed: null });
    if (!request.url.startsWith('data:')) {
      inFlight.add(requestId);
    }
  },
  'Network.responseReceived': ({ requestId, response, type, frameId }) => {
    const request = requests.get(requestId);
    if (request) {
      request.status = response.status;
    }
    if (type === 'Document' && (frameId === main || main === '')) {
      const named = Object.entries(response.headers).find(([name]) => name.toLowerCase() === 'content-security-policy');
      document_ = { status: response.status, policy: named?.[1] ?? '' };
    }
  },
  'Network.loadingFinished': ({ requestId, encodedDataLength }) => {
    inFlight.delete(requestId);
    const request = requests.get(requestId);
    if (request) {
      request.bytes = encodedDataLength;
    }
  },
  'Network.loadingFailed': ({ requestId, errorText, blockedReason }) => {
    inFlight.delete(requestId);
    const request = requests.get(requestId);
    if (request) {
      request.failed = blockedReason ?? errorText;
    }
  },
  'Audits.issueAdded': ({ issue }) => {
    const found = issue.details.contentSecurityPolicyIssueDetails;
    if (found) {
      const { violatedDirective, blockedURL, contentSecurityPolicyViolationType } = found;
      heard.violations.push(`${violatedDirective}: ${contentSecurityPolicyViolationType} ${blockedURL ?? ''}`.trim());
    }
  },
  'Log.entryAdded': ({ entry }) => {
    if (entry.level === 'error') {
      heard.errors.push(`${entry.source}: ${entry.text} ${entry.url ?? ''}`.trim());
    }
  },
  'Runtime.consoleAPICalled': ({ type, args }) => {
    if (type === 'error' || type === 'assert') {
      heard.errors.push(`console: ${args.map((one) => one.value ?? one.description).join(' ')}`);
    }
  },
  'Runtime.exceptionThrown': ({ exceptionDetails }) => {
    heard.errors.push(`exception: ${exceptionDetails.exception?.description ?? exceptionDetails.text}`);
  },
  'Browser.downloadWillBegin': ({ guid, suggestedFilename }) => {
    downloads.set(guid, { name: suggestedFilename, state: 'inProgress' });
  },
  'Browser.downloadProgress': ({ guid, state }) => {
    downloads.set(guid, { ...downloads.get(guid), state });
  },
};

// Messages are JSON, each with a zero byte at its end.
let number = 0;
let rest = Buffer.alloc(0);
let session;
const waiting = new Map();
browser.stdio[4].on('data', (piece) => {
  rest = Buffer.concat([rest, piece]);
  for (let end = rest.indexOf(0); end !== -1; end = rest.indexOf(0)) {
    const message = JSON.parse(rest.subarray(0, end).toString());
    rest = rest.subarray(end + 1);
    if (message.method) {
      if (message.method.startsWith('Page.') || message.method.startsWith('Network.')) {
        lastEvent = Date.now();
      }
      events[message.method]?.(message.params);
      continue;
    }
    const wait = waiting.get(message.id);
    waiting.delete(message.id);
    if (message.error) {
      wait?.reject(new Error(`${wait.method}: ${message.error.message}`));
    } else {
      wait?.resolve(message.result);
    }
  }
});

function call(method, params = {}, to = session) {
  number += 1;
  const id = number;
  // Without a session it is the browser itself that is told.
  browser.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId: to ?? undefined })}\0`);
  return new Promise((resolve, reject) => waiting.set(id, { resolve, reject, method }));
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

async function until(what, isSo) {
  const begun = Date.now();
  for (;;) {
    if (await isSo()) {
      return;
    }
    if (Date.now() - begun > PATIENCE_MILLISECONDS) {
      throw new Error(`waited in vain: ${what}`);
    }
    await pause(POLL_MILLISECONDS);
  }
}

function result({ result: answer, exceptionDetails }) {
  if (exceptionDetails) {
    throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
  }
  return answer.value;
}

async function evaluate(expression, context) {
  const options = { expression, awaitPromise: true, returnByValue: true, userGesture: true, contextId: context };
  return result(await call('Runtime.evaluate', options));
}

async function state() {
  return evaluate('document.readyState').catch(() => 'loading');
}

// Nothing is loading, and nothing has happened for a moment.
async function quiet() {
  await until('quiet', async () => {
    const isStill = inFlight.size === 0 && Date.now() - lastEvent > QUIET_MILLISECONDS;
    return isStill && (await state()) === 'complete';
  });
}

async function page() {
  await measure();
  const [url, title, text] = await evaluate('[location.href, document.title, document.body?.innerText ?? ""]');
  return { url, title, text, ...document_, load };
}

// What came over the wire for the document at hand.
function weight() {
  return [...requests.values()].reduce((sum, one) => sum + (one.loader === loader ? one.bytes : 0), 0);
}

// Each document once, when it is first there.
async function measure() {
  if (load.id === loader) {
    return;
  }
  load = { id: loader, paint: null, bytes: weight() };
  const begun = Date.now();
  while (load.paint === null && Date.now() - begun < PAINT_MILLISECONDS) {
    load.paint = await evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null");
    if (load.paint === null) {
      await pause(POLL_MILLISECONDS);
    }
  }
}

function begin() {
  requests = new Map();
  inFlight = new Set();
  heard = { violations: [], errors: [], dialogs: [] };
}

// What follows an action: by then === 'page', another page.
async function after(then, act) {
  const before = arrivals;
  lastEvent = Date.now();
  await act();
  if (then === 'page') {
    await until('another page', () => arrivals > before);
  }
  await quiet();
}

// The node of a target, by its backend id. Names are known a moment after the page is there, and parts of some pages are
// being renewed, so it is looked for once more and once more.
async function find(target) {
  for (const begun = Date.now(); ; await pause(POLL_MILLISECONDS)) {
    const node = await found(target);
    if (node !== undefined) {
      return node;
    }
    if (Date.now() - begun > MISSING_MILLISECONDS) {
      throw new Error(`the page has nothing like ${JSON.stringify(target)}`);
    }
  }
}

async function found(target) {
  if (typeof target === 'string') {
    return (await all(target))[0];
  }
  const { name, role, within, nth = 0 } = target;
  const { root } = await call('DOM.getDocument', { depth: 0 });
  const base = within ? { backendNodeId: await find(within) } : { nodeId: root.nodeId };
  const { nodes } = await call('Accessibility.queryAXTree', { ...base, accessibleName: name, role });
  // Labels and headings have the name as well as what is within them or what they name: what one can act on comes first.
  const named = nodes.filter((node) => !node.ignored && (role || !['StaticText', 'InlineTextBox'].includes(node.role?.value)));
  const last = (node) => (ACTIVE.has(node.role?.value) ? 0 : 1);
  named.sort((one, other) => last(one) - last(other));
  return named[nth]?.backendDOMNodeId;
}

async function all(selector) {
  const { root } = await call('DOM.getDocument', { depth: 0 });
  const { nodeIds } = await call('DOM.querySelectorAll', { nodeId: root.nodeId, selector });
  const described = await Promise.all(nodeIds.map((nodeId) => call('DOM.describeNode', { nodeId })));
  return described.map(({ node }) => node.backendNodeId);
}

// Calls a function on a node.
async function on(target, functionDeclaration, ...values) {
  const { object } = await call('DOM.resolveNode', { backendNodeId: await find(target) });
  const options = { objectId: object.objectId, functionDeclaration, returnByValue: true, awaitPromise: true };
  return result(await call('Runtime.callFunctionOn', { ...options, arguments: values.map((value) => ({ value })) }));
}

async function clickAt(target) {
  const backendNodeId = await find(target);
  await call('DOM.scrollIntoViewIfNeeded', { backendNodeId });
  const { quads } = await call('DOM.getContentQuads', { backendNodeId });
  const quad = quads[0];
  if (!quad) {
    throw new Error(`${JSON.stringify(target)} has no place on the page`);
  }
  const at = { x: (quad[0] + quad[4]) / 2, y: (quad[1] + quad[5]) / 2, button: 'left', clickCount: 1 };
  await call('Input.dispatchMouseEvent', { type: 'mouseMoved', ...at, button: 'none', clickCount: 0 });
  await call('Input.dispatchMouseEvent', { type: 'mousePressed', ...at });
  await call('Input.dispatchMouseEvent', { type: 'mouseReleased', ...at });
}

const ACTIVE = new Set([
  'button', 'checkbox', 'combobox', 'date', 'link', 'listbox', 'menuitem', 'radio', 'searchbox', 'slider', 'spinbutton', 'switch',
  'tab', 'textbox', 'DisclosureTriangle',
]);

const KEYS = {
  Tab: ['Tab', 9], Enter: ['Enter', 13, '\r'], Space: [' ', 32, ' '], Escape: ['Escape', 27], ArrowDown: ['ArrowDown', 40],
  ArrowUp: ['ArrowUp', 38], ArrowLeft: ['ArrowLeft', 37], ArrowRight: ['ArrowRight', 39],
};

// Some fields (dates) take no typing; all take a value and tell of it.
const FILL = `function (text) {
  this.focus();
  const { set } = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(this), 'value');
  set.call(this, text);
  this.dispatchEvent(new Event('input', { bubbles: true }));
  this.dispatchEvent(new Event('change', { bubbles: true }));
}`;

// The focus, and whether one sees it.
const FOCUS = `(() => {
  const one = document.activeElement;
  if (!one || one === document.body) { return { tag: 'body', name: '', visible: false }; }
  const style = getComputedStyle(one);
  const box = one.getBoundingClientRect();
  const name = one.getAttribute('aria-label') ?? (one.labels?.[0]?.innerText || one.innerText || one.value || '');
  const outlined = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0;
  return { tag: one.tagName.toLowerCase(), name: name.trim(), visible: outlined && box.width > 0 && box.height > 0 };
})()`;

let media = { theme: 'light', media: '' };
async function emulate(change) {
  media = { ...media, ...change };
  const features = [{ name: 'prefers-color-scheme', value: media.theme }, { name: 'prefers-reduced-motion', value: 'reduce' }];
  await call('Emulation.setEmulatedMedia', { media: media.media, features });
  return {};
}

let authenticator;
let scripts = true;

const commands = {
  async goto(url) {
    begin();
    await after('page', async () => {
      const { errorText } = await call('Page.navigate', { url });
      if (errorText) {
        throw new Error(`${url}: ${errorText}`);
      }
    });
    return page();
  },
  async click(options) {
    const { target, then } = options.target ? options : { target: options };
    await after(then, () => clickAt(target));
    return page();
  },
  async press({ key, times = 1, then }) {
    const [name, code, text] = KEYS[key];
    const common = { key: name, code: key, windowsVirtualKeyCode: code };
    await after(then, async () => {
      for (let count = 0; count < times; count += 1) {
        await call('Input.dispatchKeyEvent', { type: text ? 'keyDown' : 'rawKeyDown', ...common, text });
        await call('Input.dispatchKeyEvent', { type: 'keyUp', ...common });
      }
    });
    return evaluate(FOCUS);
  },
  async fill([target, text]) {
    await on(target, FILL, text);
    return {};
  },
  async text(target) {
    return { text: await on(target, 'function () { return this.innerText ?? this.textContent; }') };
  },
  async attribute([target, name]) {
    return { attribute: await on(target, 'function (name) { return this.getAttribute(name); }', name) };
  },
  async count(selector) {
    return { count: (await all(selector)).length };
  },
  async evaluate(expression) {
    return { value: (await evaluate(expression)) ?? null };
  },
  async wait({ text, selector, url, expression }) {
    const isSo = {
      text: `document.body.innerText.includes(${JSON.stringify(text)})`,
      selector: `document.querySelector(${JSON.stringify(selector)}) !== null`,
      url: `location.href.includes(${JSON.stringify(url)})`,
      expression: `Boolean(${expression})`,
    };
    const which = text !== undefined ? 'text' : selector !== undefined ? 'selector' : url !== undefined ? 'url' : 'expression';
    await until(isSo[which], () => evaluate(isSo[which]).catch(() => false));
    await quiet();
    return page();
  },
  async page() {
    return page();
  },
  async screenshot(options) {
    const { file, whole = true } = options.file ? options : { file: options };
    const { data } = await call('Page.captureScreenshot', { format: 'png', captureBeyondViewport: whole });
    writeFileSync(file, Buffer.from(data, 'base64'));
    return {};
  },
  async pdf(file) {
    const { data } = await call('Page.printToPDF', { preferCSSPageSize: true });
    writeFileSync(file, Buffer.from(data, 'base64'));
    return {};
  },
  async download({ target, folder }) {
    const options = { behavior: 'allow', downloadPath: folder, eventsEnabled: true };
    await call('Browser.setDownloadBehavior', options, null);
    downloads.clear();
    await clickAt(target);
    const is = (wanted) => [...downloads.values()].some(({ state: one }) => one === wanted);
    await until('a download', () => is('completed') || is('canceled'));
    const done = [...downloads.values()].find(({ state: one }) => one === 'completed');
    if (!done) {
      throw new Error('the download broke off');
    }
    const file = join(folder, done.name);
    return { file, bytes: statSync(file).size };
  },
  theme: (theme) => emulate({ theme }),
  media: (wanted) => emulate({ media: wanted === 'screen' ? '' : wanted }),
  async viewport({ width, height, phone = false }) {
    await call('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: 1, mobile: phone });
    await call('Emulation.setTouchEmulationEnabled', { enabled: phone });
    return {};
  },
  async cookies(cookies) {
    await call('Network.setCookies', { cookies });
    return {};
  },
  async forget() {
    await call('Network.clearBrowserCookies');
    return {};
  },
  async headers(headers) {
    await call('Network.setExtraHTTPHeaders', { headers });
    return {};
  },
  async scripts(run) {
    scripts = run;
    await call('Emulation.setScriptExecutionDisabled', { value: !run });
    return {};
  },
  // axe-core runs in a world of its own, beside the page's scripts and its policy.
  async axe() {
    await call('Emulation.setScriptExecutionDisabled', { value: false });
    const { executionContextId } = await call('Page.createIsolatedWorld', { frameId: main, worldName: 'axe' });
    await evaluate(`${readFileSync(axe, 'utf8')};undefined`, executionContextId);
    const found = await evaluate(
      `axe.run(document, { preload: false, resultTypes: ['violations'] }).then(({ violations, passes }) => ({
        passes: passes.length,
        violations: violations.map(({ id, help, nodes }) => ({
          id, help, nodes: nodes.map(({ target, failureSummary }) => target.join(' ') + ': ' + failureSummary) })) }))`,
      executionContextId,
    );
    await call('Emulation.setScriptExecutionDisabled', { value: !scripts });
    return found;
  },
  async requests() {
    const list = [...requests.values()].map((one) => ({ ...one, origin: new URL(one.url).origin }));
    return { requests: list, bytes: weight() };
  },
  async heard() {
    // Issues and errors are told a moment later.
    await pause(100);
    return heard;
  },
  async authenticator(options) {
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
  },
  async credentials() {
    const { credentials } = await call('WebAuthn.getCredentials', { authenticatorId: authenticator });
    return { credentials: credentials.map(({ signCount, isResidentCredential }) => ({ signCount, isResidentCredential })) };
  },
};

const { targetInfos } = await call('Target.getTargets');
const target = targetInfos.find((one) => one.type === 'page');
({ sessionId: session } = await call('Target.attachToTarget', { targetId: target.targetId, flatten: true }));
for (const domain of ['Page', 'Network', 'DOM', 'Accessibility', 'Audits', 'Log', 'Runtime', 'WebAuthn']) {
  await call(`${domain}.enable`);
}
main = (await call('Page.getFrameTree')).frameTree.frame.id;
// Each page is weighed as one that was never seen before.
await call('Network.setCacheDisabled', { cacheDisabled: true });
await commands.viewport({ width: 1280, height: 800 });
await emulate({});
await commands.authenticator({});
console.log(JSON.stringify({ ready: true }));
for await (const line of createInterface({ input: process.stdin })) {
  const [[name, value]] = Object.entries(JSON.parse(line));
  const command = commands[name] ?? (async () => { throw new Error(`there is no command ${name}`); });
  const answer = await command(value).catch((error) => ({ error: error.message }));
  console.log(JSON.stringify(answer));
}
process.exit(0);
