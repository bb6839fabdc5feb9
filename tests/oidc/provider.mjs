// A provider for the tests: oidc-provider on a free port of loopback. It prints one line for each request, and where it
// listens once it does.

import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';

import { Provider } from 'oidc-provider';

const SCOPE = 'read:orders write:orders';
const RESOURCES = {
  'https://orders.example.com': { scope: SCOPE, accessTokenFormat: 'opaque' },
  'https://ledger.example.com': { scope: SCOPE, accessTokenFormat: 'jwt', jwt: { sign: { alg: 'RS256' } } },
  'https://archive.example.com': { scope: SCOPE, accessTokenFormat: 'jwt', jwt: { sign: { alg: 'ES256' } } },
};

const clients = Object.values(JSON.parse(readFileSync(new URL('clients.json', import.meta.url))));
const withoutPages = { redirect_uris: [], response_types: [] };
const mayAsk = new Set(clients.filter(({ client_id: id }) => id !== 'shop').map(({ client_id: id }) => id));

function signingKey(type, alg, options) {
  return { ...generateKeyPairSync(type, options).privateKey.export({ format: 'jwk' }), use: 'sig', alg };
}

// A person who says yes on their telephone, at once.
async function sayYes(ctx, request, account, client) {
  const grant = new provider.Grant({ accountId: account.accountId, clientId: client.clientId });
  grant.addOIDCScope('openid offline_access');
  for (const resource of Object.keys(RESOURCES)) grant.addResourceScope(resource, SCOPE);
  await grant.save();
  await provider.backchannelResult(request, grant, { acr: 'by telephone' });
}

const configuration = {
  clients: clients.map((client) => ({ ...withoutPages, ...client })),
  jwks: {
    keys: [
      signingKey('rsa', 'RS256', { modulusLength: 2048 }),
      signingKey('ec', 'ES256', { namedCurve: 'P-256' }),
    ],
  },
  findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  issueRefreshToken: (ctx, client) => client.grantTypeAllowed('refresh_token'),
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    introspection: {
      enabled: true,
      allowedPolicy: (ctx, client, token) => mayAsk.has(client.clientId) || client.clientId === token.clientId,
    },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (ctx, resource) => RESOURCES[resource],
      useGrantedResource: () => true,
    },
    ciba: {
      enabled: true,
      deliveryModes: ['poll'],
      processLoginHint: (ctx, hint) => hint,
      triggerAuthenticationDevice: sayYes,
      validateBindingMessage: () => {},
      validateRequestContext: () => {},
      verifyUserCode: () => {},
    },
  },
};

// The key set once more, for those who show an access token.
async function isGuarded(request, response) {
  if (request.url !== '/guarded/jwks') return false;
  const [, token] = (request.headers.authorization ?? '').split('Bearer ');
  if (await provider.ClientCredentials.find(token ?? '')) {
    request.url = '/jwks';
    return false;
  }
  response.writeHead(401, { 'www-authenticate': 'Bearer' }).end();
  return true;
}

let provider;
const server = createServer(async (request, response) => {
  console.log(`${request.method} ${request.url}`);
  if (!(await isGuarded(request, response))) provider.callback()(request, response);
});
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  provider = new Provider(issuer, configuration);
  provider.on('server_error', (ctx, error) => console.error(error));
  console.log(`listening on ${issuer}`);
});
