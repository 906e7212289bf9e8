import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { inspect } from 'node:util';
import test, { type ExecutionContext } from 'ava';
import { misspeltSettings, readConfig } from '#src/config/config.js';
import { createLog } from '#src/platform/log.js';
import { startShop } from '#src/shop.js';
import { freshFolder } from '../helpers/databases/engines.js';
import { startCluster } from '../helpers/databases/postgres-cluster.js';
import { selfSigned } from '../helpers/identities/certificates.js';
import { newSigningKey, sign } from '../helpers/identities/tokens.js';
import { ServerProcess } from '../helpers/processes/shop-process.js';
import { marker } from './guarded-values.js';
import { SecretFinder } from './secret-finder.js';
import { disclosures, processSinks } from './sinks.js';

type Env = Record<string, string>;

const JWT = { CALLER_IDENTITY: 'jwt', JWT_ISSUER: 'https://issuer.example', JWT_AUDIENCE: 'shop' };
const REMOTE = { SERVICES: 'order', INVENTORY_ADDRESS: '127.0.0.1:1' };

/** Starts a shop with wrong settings in this process. Returns all that an operator could see of the error. */
async function failureOf(t: ExecutionContext, env: Env): Promise<string> {
  const ports = { GRPC_ADDRESS: '127.0.0.1:0', OPS_ADDRESS: '127.0.0.1:0' };
  const url = `sqlite:${join(await freshFolder(t), 'shop.db')}`;
  try {
    const config = readConfig({ ...ports, DATABASE_URL: url, ...env });
    const shop = await startShop(config, createLog('silent'), new AbortController().signal);
    await shop.stop();
    return '';
  } catch (error) {
    return inspect(error, { depth: null, showHidden: true });
  }
}

const short = marker(undefined, 14);
const secret = marker();

const wrongSettings: Record<string, Env> = {
  'a pepper that is too short': { REPLAY_GUARD_PEPPER: short },
  'a previous pepper that is too short': {
    REPLAY_GUARD_PEPPER: marker(),
    REPLAY_GUARD_PEPPER_PREVIOUS: short,
  },
  'a next pepper that is too short': { REPLAY_GUARD_PEPPER: marker(), REPLAY_GUARD_PEPPER_NEXT: short },
  'a previous pepper alone': { REPLAY_GUARD_PEPPER_PREVIOUS: secret },
  'a malformed cipher key': { REPLAY_GUARD_CIPHER_KEY: secret },
  'a malformed previous cipher key': {
    REPLAY_GUARD_CIPHER_KEY: randomBytes(32).toString('hex'),
    REPLAY_GUARD_CIPHER_KEY_PREVIOUS: secret,
  },
  'a misspelt setting': { REPLAY_GUARD_PEPER: secret },
  'a malformed webhook secret': {
    WEBHOOK_URL: 'https://receiver.example',
    WEBHOOK_SECRET: `whsec_${secret}-`,
  },
  'a webhook URL with a password': {
    WEBHOOK_URL: `https://user:${secret}@receiver.example`,
    WEBHOOK_SECRET: `whsec_${randomBytes(32).toString('base64')}`,
  },
  'a webhook URL without TLS': {
    WEBHOOK_URL: `http://receiver.example/${secret}`,
    WEBHOOK_SECRET: `whsec_${randomBytes(32).toString('base64')}`,
  },
  'a malformed secret of the warehouse': { WAREHOUSE_WEBHOOK_SECRET: secret },
  'a database URL with another scheme': { DATABASE_URL: `mysql://shop:${secret}@127.0.0.1/shop` },
  'a database URL with a slash in the password': {
    DATABASE_URL: `postgres://shop:${secret}/x@127.0.0.1:1/shop`,
  },
  'a database URL with digits and a slash in the password': {
    DATABASE_URL: `postgres://shop:1/${secret}@127.0.0.1:1/shop`,
  },
  'a database URL with digits and a hash in the password': {
    DATABASE_URL: `postgres://shop:1#${secret}@127.0.0.1:1/shop`,
  },
  'a database URL with digits and a question mark in the password': {
    DATABASE_URL: `postgres://shop:1?${secret}@127.0.0.1:1/shop`,
  },
  'a database URL with a percent sign in the password': {
    DATABASE_URL: `postgres://shop:5%x${secret}@127.0.0.1:1/shop`,
  },
  'a URL of the key set with a password': { ...JWT, JWT_JWKS: `https://user:${secret}@issuer.example/jwks` },
  'a URL of the key set without TLS': { ...JWT, JWT_JWKS: `http://issuer.example/jwks?key=${secret}` },
  'a key set in place of its path': { ...JWT, JWT_JWKS: `{"keys":[{"kty":"EC","d":"${secret}"}]}` },
};

for (const [what, env] of Object.entries(wrongSettings)) {
  test(`${what} stops the start, and its error quotes no secret`, async (t) => {
    const finder = new SecretFinder();
    finder.add('the value', secret);
    finder.add('the short value', short);
    const content = await failureOf(t, env);
    t.regex(content, /^ConfigError: [A-Z_]+: /);
    t.deepEqual(disclosures(finder, [{ name: 'error', content }]), []);
    const misspelt = JSON.stringify(misspeltSettings(env));
    t.deepEqual(disclosures(finder, [{ name: 'warning', content: misspelt }]), []);
  });
}

test('a file content in place of its path, and a file with a secret of another kind, are not quoted', async (t) => {
  const folder = await freshFolder(t);
  const pair = await selfSigned(folder, 'server', 'localhost');
  const token = await sign(await newSigningKey('k1'), { sub: secret });
  const files = { token: join(folder, 'token'), text: join(folder, 'text'), json: join(folder, 'json') };
  await writeFile(files.token, token);
  await writeFile(files.text, secret);
  await writeFile(
    files.json,
    JSON.stringify({ keys: [{ kty: 'EC', crv: 'P-256', d: secret, x: secret, y: secret }] }),
  );
  const finder = new SecretFinder();
  finder.add('private key', pair.key.toString().replaceAll(/-----[A-Z ]+-----|\n/g, ''));
  finder.add('private key with lines', pair.key.toString().split('\n')[1] ?? '');
  finder.add('token', token);
  finder.add('text', secret);
  const key = pair.key.toString();
  const wrong: Env[] = [
    { TLS_CERT: pair.certPath, TLS_KEY: key },
    { TLS_CERT: key, TLS_KEY: pair.keyPath },
    { TLS_CERT: pair.certPath, TLS_KEY: key.replaceAll('\n', ' ') },
    { TLS_CERT: pair.certPath, TLS_KEY: files.text },
    { TLS_CERT: pair.keyPath, TLS_KEY: pair.keyPath },
    { TLS_CERT: pair.certPath, TLS_KEY: pair.keyPath, TLS_CLIENT_CA: key },
    { TLS_CERT: pair.certPath, TLS_KEY: pair.keyPath, TLS_CA: key },
    { ...JWT, JWT_JWKS: key },
    { ...JWT, JWT_JWKS: pair.keyPath },
    { ...JWT, JWT_JWKS: files.text },
    { ...JWT, JWT_JWKS: files.json },
    { ...JWT, JWT_JWKS: token },
    { ...JWT, ...REMOTE, JWT_JWKS: 'https://issuer.example/jwks', JWT_SELF_TOKEN_FILE: token },
    { ...JWT, ...REMOTE, JWT_JWKS: 'https://issuer.example/jwks', JWT_SELF_TOKEN_FILE: `Bearer ${token}` },
    { ...JWT, ...REMOTE, JWT_JWKS: 'https://issuer.example/jwks', JWT_SELF_TOKEN_FILE: files.text },
    { REPLAY_GUARD_MODE_FILE: files.text },
    { REPLAY_GUARD_MODE_FILE: files.json },
    { REPLAY_GUARD_MODE_FILE: files.token },
    { REPLAY_GUARD_MODE_FILE: key },
  ];
  for (const env of wrong) {
    const content = await failureOf(t, env);
    const names = Object.keys(env).join(', ');
    t.regex(content, /^ConfigError: [A-Z_]+: /, names);
    t.deepEqual(disclosures(finder, [{ name: names, content }]), []);
  }
});

test('Postgres refuses the password: the line on stderr names the setting and quotes no password', async (t) => {
  const cluster = await startCluster();
  t.teardown(() => cluster.stop());
  const password = `${marker()}/@:%${marker()}`;
  const finder = new SecretFinder();
  finder.add('password', password);
  const url = Object.assign(new URL(cluster.url), { password: encodeURIComponent(password) }).href;
  const server = new ServerProcess(t, { DATABASE_URL: url, LOG_LEVEL: 'trace' });
  t.is((await server.exited).code, 1);
  t.like(server.log.at(-1), { msg: 'DATABASE_URL: password authentication failed for user "postgres"' });
  const sinks = [...processSinks('the shop', server), { name: 'log of Postgres', content: cluster.log }];
  t.deepEqual(disclosures(finder, sinks), []);
});
