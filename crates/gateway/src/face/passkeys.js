// Makes and shows passkeys: asks the browser for what the gateway asks for, and sends back what its authenticator says.
// Everything is decided at the gateway.
'use strict';

const bytes = (text) =>
  Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (letter) => letter.charCodeAt(0));
const text = (buffer) =>
  btoa(Array.from(new Uint8Array(buffer), (byte) => String.fromCharCode(byte)).join(''))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '');

async function ask(path, body) {
  const response = await fetch(`/auth/passkey/${path}`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  });
  const answer = await response.json();
  if (!response.ok) {
    throw new Error(answer.issue?.[0]?.details?.text ?? `the gateway answered ${response.status}`);
  }
  return answer;
}

const named = (credential) => ({ ...credential, id: bytes(credential.id) });

async function make(code) {
  const options = await ask('make', code ? { code } : {});
  options.challenge = bytes(options.challenge);
  options.user.id = bytes(options.user.id);
  options.excludeCredentials = options.excludeCredentials.map(named);
  const { response } = await navigator.credentials.create({ publicKey: options });
  return ask('made', {
    client_data: text(response.clientDataJSON),
    attestation: text(response.attestationObject),
  });
}

async function signIn() {
  const options = await ask('sign-in', {});
  options.challenge = bytes(options.challenge);
  options.allowCredentials = options.allowCredentials.map(named);
  const shown = await navigator.credentials.get({ publicKey: options });
  return ask('signed-in', {
    id: text(shown.rawId),
    client_data: text(shown.response.clientDataJSON),
    authenticator_data: text(shown.response.authenticatorData),
    signature: text(shown.response.signature),
    user: shown.response.userHandle ? text(shown.response.userHandle) : null,
  });
}

async function run(action) {
  const told = document.getElementById('told');
  told.textContent = '';
  try {
    window.location.assign((await action()).next);
  } catch (error) {
    told.textContent = `This did not work: ${error.message}`;
  }
}

document.getElementById('sign-in')?.addEventListener('click', () => run(signIn));
document.getElementById('make')?.addEventListener('click', () => run(() => make(null)));
document.getElementById('invitation')?.addEventListener('submit', (event) => {
  event.preventDefault();
  run(() => make(document.getElementById('code').value));
});
