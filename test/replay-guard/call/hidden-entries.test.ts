import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { ServerCredentials, ServerInterceptingCall, type ServerInterceptor, status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import type { ReplayGuardOptions } from 'grpc-replay-guard';
import { callByHttp2, connectHttp2 } from '../../helpers/calls/http2-call.js';
import { sendRawCall } from '../../helpers/calls/raw-call.js';
import { freshFolder } from '../../helpers/databases/engines.js';
import { createAuthority } from '../../helpers/identities/certificates.js';
import { openLedger } from '../../helpers/servers/guarded-ledger.js';
import { poll } from '../../helpers/waiting/poll.js';

setFlagsFromString('--expose_gc');
const collectGarbage: () => void = runInNewContext('gc');

/** Opens a ledger whose Append needs no key, and an HTTP/2 connection to it. */
async function open(t: ExecutionContext, guard: Partial<ReplayGuardOptions> = {}) {
  const ledger = await openLedger(t, 'memory', {
    guard: { policies: { '/test.v1.LedgerService/Append': { key: 'OPTIONAL' } }, ...guard },
  });
  const session = connectHttp2(t, `http://${ledger.server.address}`);
  const append = (headers: Record<string, string | string[]>, message?: Buffer) =>
    callByHttp2(session, ledger.definition.Append.path, headers, message);
  return { ledger, append };
}

const refusalOf = (...fields: string[]) => ({
  code: status.INVALID_ARGUMENT,
  reason: 'IDEMPOTENCY_KEY_INVALID',
  fields,
});

const series = {
  'idempotency-producer': 'p',
  'idempotency-sequence': '1',
  'idempotency-epoch': '1',
};
const validEntries = {
  'idempotency-key': { 'idempotency-key': 'k' },
  'idempotency-first-sent': { 'idempotency-key': 'k', 'idempotency-first-sent': new Date().toISOString() },
  'idempotency-producer': series,
  'idempotency-sequence': series,
  'idempotency-epoch': series,
};

for (const [name, valid] of Object.entries(validEntries)) {
  test(`${name} with a byte that grpc-js drops is refused, also where no key is required`, async (t) => {
    const { ledger, append } = await open(t);
    const value = (valid as Record<string, string>)[name] ?? '';
    const malformed = [`${value}\t1`, `1\t${value}`, `${value}\u0080`, `\u00ff${value}`, '\u00e9'];
    for (const sent of [...malformed, [value, '\u00e9'], ['\u00e9', value], ['\u00e9', '\u00e9']]) {
      t.deepEqual(await append({ ...valid, [name]: sent }), refusalOf(name), JSON.stringify(sent));
    }
    t.is(ledger.entered, 0);
    t.is((await append(valid)).code, status.OK);
    t.is(ledger.entered, 1);
  });
}

test('a malformed entry is refused, also if the other entries of a sequence are missing', async (t) => {
  const { ledger, append } = await open(t);
  for (const name of [
    'idempotency-key',
    'idempotency-producer',
    'idempotency-sequence',
    'idempotency-epoch',
  ]) {
    t.like(await append({ [name]: 'a\tb' }), { reason: 'IDEMPOTENCY_KEY_INVALID' }, name);
  }
  t.is(ledger.entered, 0);
});

test('a malformed first-sent time without a key has no effect where no key is required', async (t) => {
  const { ledger, append } = await open(t);
  t.is((await append({ 'idempotency-first-sent': '2020-01-01\tT00:00:00Z' })).code, status.OK);
  t.is(ledger.entered, 1);
});

test('a malformed key in the metadata is refused beside a valid key in the request', async (t) => {
  const { ledger, append } = await open(t, {
    policies: { '/test.v1.LedgerService/Append': { key: 'OPTIONAL', keyField: 'account' } },
  });
  const account = Buffer.from([0x0a, 1, 0x6b]);
  t.deepEqual(await append({ 'idempotency-key': 'k\tk' }, account), refusalOf('idempotency-key'));
  t.is(ledger.entered, 0);
  t.is((await append({ 'idempotency-key': 'k' }, account)).code, status.OK);
});

test('the first call of a TLS connection with a malformed key is refused', async (t) => {
  const ca = await createAuthority(await freshFolder(t), 'ca');
  const { cert, key } = await ca.issue('server', 'localhost');
  const credentials = ServerCredentials.createSsl(null, [{ cert_chain: cert, private_key: key }]);
  const ledger = await openLedger(t, 'memory', { credentials });
  const session = connectHttp2(
    t,
    `https://${ledger.server.address.replace('127.0.0.1', 'localhost')}`,
    ca.cert,
  );
  const reply = await callByHttp2(session, ledger.definition.Append.path, { 'idempotency-key': 'a\tb' });
  t.deepEqual(reply, refusalOf('idempotency-key'));
});

test('a malformed key is refused behind another interceptor', async (t) => {
  const before: ServerInterceptor = (_method, call) => new ServerInterceptingCall(call);
  const ledger = await openLedger(t, 'memory', { before: [before, before] });
  const session = connectHttp2(t, `http://${ledger.server.address}`);
  const reply = await callByHttp2(session, ledger.definition.Append.path, { 'idempotency-key': 'a\tb' });
  t.deepEqual(reply, refusalOf('idempotency-key'));
});

test('mode OBSERVE counts a malformed key as invalid and does not change the metadata of the handler', async (t) => {
  const seen: unknown[] = [];
  const ledger = await openLedger(t, 'memory', {
    guard: { mode: 'OBSERVE' },
    handlers: () => ({
      Append: ({ metadata }, done) => {
        seen.push(metadata.get('idempotency-key'));
        done(null, {});
      },
    }),
  });
  const session = connectHttp2(t, `http://${ledger.server.address}`);
  const reply = await callByHttp2(session, ledger.definition.Append.path, { 'idempotency-key': 'a\tb' });
  t.is(reply.code, status.OK);
  t.deepEqual(seen, [[]]);
  t.deepEqual(ledger.outcomes.observed, ['key_invalid']);
});

test('a scope source sees every entry of a name of which Node reads the first entry only', async (t) => {
  const seen: unknown[] = [];
  const ledger = await openLedger(t, 'memory', {
    guard: {
      scope: ({ metadata }) => {
        seen.push(metadata.get('authorization'), metadata.get('x-user'));
        return undefined;
      },
    },
  });
  await sendRawCall(t, ledger.server.address, ledger.definition.Append.path, [
    ...[['idempotency-key', 'k'] as const, ['authorization', 'one'] as const],
    ...[['x-user', 'a'] as const, ['authorization', 'tw\u00e9'] as const, ['x-user', 'b'] as const],
  ]);
  await ledger.outcomes.reached('refused');
  t.deepEqual(seen, [['one', 'tw?'], ['a, b']]);
});

test.serial('the last call of a server does not keep its request in memory', async (t) => {
  const requests: WeakRef<object>[] = [];
  const ledger = await openLedger(t, 'memory', {
    handlers: () => ({
      Append: ({ request }, done) => {
        requests.push(new WeakRef(request));
        done(null, {});
      },
    }),
  });
  t.is((await ledger.append('k')).code, status.OK);
  await poll('the request is collected', () => {
    collectGarbage();
    return requests.length === 1 && requests[0]?.deref() === undefined;
  });
  t.pass();
});
