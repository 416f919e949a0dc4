// A real OpenID provider (npm oidc-provider) for tests of sign-in. Usage: node provider.mjs SETTINGS.json
// It prints one JSON line with its issuer when it listens, and reads commands from standard input, one JSON a line:
//   {"rotate": true}            takes a new key for signatures, and gives the old one up
//   {"roles": {"NAME": [..]}}   what users are from now on
// The user signs in and agrees by the provider's own development pages, with any password.

import { createInterface } from 'node:readline';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import Provider from 'oidc-provider';

// Standard output is for answers alone.
console.info = console.error;
console.warn = console.error;

const settings = JSON.parse(readFileSync(process.argv[2], 'utf8'));
let roles = settings.roles;
let listener = null;

function signingKey() {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { ...privateKey.export({ format: 'jwk' }), kid: randomUUID(), use: 'sig', alg: 'ES256' };
}

function provider(issuer) {
  return new Provider(issuer, {
    clients: [
      {
        client_id: settings.client_id,
        client_secret: settings.client_secret,
        redirect_uris: settings.redirect_uris,
        post_logout_redirect_uris: settings.post_logout_redirect_uris,
        id_token_signed_response_alg: 'ES256',
      },
    ],
    jwks: { keys: [signingKey()] },
    pkce: { required: () => true },
    claims: { openid: ['sub'], profile: ['preferred_username', 'roles', 'mrn'] },
    conformIdTokenClaims: false,
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({ sub: id, preferred_username: id, roles: roles[id] ?? [], mrn: settings.patients?.[id] }),
    }),
    cookies: { keys: [randomUUID()] },
    ttl: { IdToken: 300 },
  });
}

const server = createServer((request, response) => listener(request, response));
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  listener = provider(issuer).callback();
  console.log(JSON.stringify({ issuer }));
  createInterface({ input: process.stdin })
    .on('line', (line) => {
      const command = JSON.parse(line);
      if (command.rotate) {
        listener = provider(issuer).callback();
      }
      roles = command.roles ?? roles;
      console.log(JSON.stringify({ done: command }));
    })
    .on('close', () => process.exit(0));
});
