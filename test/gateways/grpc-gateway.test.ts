import { status } from '@grpc/grpc-js';
import type { ExecutionContext } from 'ava';
import { scopeFromMetadata } from 'grpc-replay-guard';
import { postJson } from '../helpers/calls/post-json.js';
import { findProgram, freePort, startProxyProgram } from '../helpers/proxies/proxy-program.js';
import { onBoth, openLedger } from '../helpers/servers/guarded-ledger.js';
import { Barrier } from '../helpers/waiting/barrier.js';
import { assertJsonReplays, openGatedLedger, testsOf } from './passing.js';

/** The program of test/gateways/grpc-gateway, with the options of the guide. `.ci/grpc-gateway` builds it with Go. */
const gateway = findProgram('ledger-gateway');
const it = testsOf('ledger-gateway, which .ci/grpc-gateway builds with Go', gateway);

type Headers = Record<string, string | string[]>;

/** Starts the gateway in front of a server. Resolves to a function that calls Append as ada. */
async function throughGateway(t: ExecutionContext, server: string) {
  const port = await freePort();
  await startProxyProgram(t, String(gateway), [server, `127.0.0.1:${port}`], port);
  const url = `http://127.0.0.1:${port}/test.v1.LedgerService/Append`;
  return (account: string, headers: Headers = {}, signal?: AbortSignal) =>
    postJson(url, { account }, { headers: { 'test-login': 'ada', ...headers }, ...(signal && { signal }) });
}

it('grpc-gateway passes the key on, with or without quotes, and copies the trailers to headers', async (t) => {
  const ledger = await openLedger(t, 'memory');
  const post = await throughGateway(t, ledger.server.address);
  await assertJsonReplays(t, post);
  t.is(ledger.entered, 1);
});

it('grpc-gateway answers refusals with the codes of the HTTP draft and the reason in the body', async (t) => {
  const gate = new Barrier();
  const ledger = await openLedger(t, 'memory', {
    guard: { policies: { '/test.v1.LedgerService/Append': { waitMs: 0 } } },
    handlers: () =>
      onBoth(async (account, callback) => {
        if (account === 'slow') await gate.pass();
        callback(null, {});
      }),
  });
  const post = await throughGateway(t, ledger.server.address);
  await post('ada', { 'idempotency-key': 'k-1' });
  const slow = post('slow', { 'idempotency-key': 'slow' });
  await gate.reached();
  const refusals = [
    ['bob', { 'idempotency-key': 'k-1' }, 422, 'IDEMPOTENCY_KEY_REUSED'],
    ['ada', { 'idempotency-key': ['k-1', 'k-1'] }, 400, 'IDEMPOTENCY_KEY_INVALID'],
    ['ada', { 'grpc-metadata-idempotency-key': 'k-1' }, 400, 'IDEMPOTENCY_KEY_MISSING'],
    ['slow', { 'idempotency-key': 'slow' }, 409, 'IDEMPOTENCY_KEY_IN_PROGRESS'],
  ] as const;
  for (const [account, headers, code, reason] of refusals) {
    const refused = await post(account, headers as Headers);
    t.is(refused.status, code, reason);
    t.like(refused.body, { details: [{ reason, domain: 'grpc-replay-guard' }] });
    t.is(refused.headers['retry-after'] !== undefined, code === 409, reason);
  }
  gate.open();
  t.is((await slow).status, 200);
});

it('grpc-gateway answers failures with the HTTP code of the guide, and a stored failure as a replay', async (t) => {
  const ledger = await openLedger(t, 'memory', {
    handlers: () => onBoth((code, callback) => callback({ code: Number(code), details: 'no' })),
  });
  const post = await throughGateway(t, ledger.server.address);
  const stored = { ALREADY_EXISTS: 409, FAILED_PRECONDITION: 400 };
  const all = { ...stored, ABORTED: 409, RESOURCE_EXHAUSTED: 429, UNAVAILABLE: 503 };
  for (const [name, http] of Object.entries(all)) {
    const code = status[name as keyof typeof status];
    for (const attempt of [1, 2]) {
      const answer = await post(String(code), { 'idempotency-key': name });
      t.is(answer.status, http, name);
      t.like(answer.body, { code, message: 'no' });
      t.is(answer.headers['idempotent-replayed'] === 'true', attempt === 2 && name in stored, name);
    }
  }
});

it('grpc-gateway names the caller, and drops the names that the client sends', async (t) => {
  const ledger = await openLedger(t, 'memory', { guard: { scope: scopeFromMetadata('x-caller') } });
  const post = await throughGateway(t, ledger.server.address);
  const forged = { 'x-caller': 'bob', 'grpc-metadata-x-caller': 'bob', 'idempotency-key': 'k-1' };
  t.is((await post('ada', forged)).status, 200);
  t.is((await post('ada', { 'idempotency-key': 'k-1' })).headers['idempotent-replayed'], 'true');
  const other = await post('ada', { 'idempotency-key': 'k-1', 'test-login': 'bob' });
  t.is(other.headers['idempotent-replayed'], undefined);
  t.is(ledger.entered, 2);
});

it('a client that disconnects from grpc-gateway does not stop the handler, and the retry gets the reply', async (t) => {
  const { gate, ledger } = await openGatedLedger(t);
  const post = await throughGateway(t, ledger.server.address);
  const leaving = new AbortController();
  const left = t.throwsAsync(post('ada', { 'idempotency-key': 'k-1' }, leaving.signal));
  await gate.reached();
  leaving.abort();
  await left;
  gate.open();
  const retried = await post('ada', { 'idempotency-key': 'k-1' });
  t.deepEqual(retried.body, { entryId: 'e-1', balanceMinor: '0', labels: {} });
  t.is(ledger.entered, 1);
  t.deepEqual(await ledger.effects(), ['ada']);
});
