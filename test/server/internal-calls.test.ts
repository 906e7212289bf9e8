import { credentials, type Interceptor, type Metadata, status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { service } from 'grpc-health-check';
import { formatAddress } from '#src/config/settings.js';
import { Closers } from '#src/platform/closers.js';
import { listenInternally } from '#src/server/listeners.js';
import { createOwnCalls, type OwnCalls } from '#src/server/own-calls.js';
import { Connection } from '../helpers/calls/call.js';

type Test = ExecutionContext;

/** An internal listener, and how its handler was called. */
async function listen(t: Test, own: OwnCalls) {
  const arrived: Metadata[] = [];
  const handlers = {
    Check: (call: { metadata: Metadata }, answer: (error: null, reply: object) => void) => {
      arrived.push(call.metadata);
      answer(null, { status: 'SERVING' });
    },
  };
  const work = { start: () => {}, stop: async () => {} };
  const hosted = { name: 'health', definition: service, handlers, work };
  const closers = new Closers();
  t.teardown(() => closers.close());
  const options = { tls: undefined, interceptors: [], own, graceMs: 0, closers };
  return { arrived, address: formatAddress(await listenInternally(hosted as never, options)) };
}

function connect(t: Test, address: string, ...interceptors: Interceptor[]) {
  const connection = new Connection(address, credentials.createInsecure(), { interceptors });
  t.teardown(() => connection.close());
  const check = service.Check as NonNullable<(typeof service)['Check']>;
  return (metadata: Record<string, string | string[]> = {}) =>
    connection.call(check, { service: '' }, { metadata });
}

test('the internal listener lets in the process itself and nobody else', async (t) => {
  const own = createOwnCalls();
  const { address, arrived } = await listen(t, own);
  const stranger = connect(t, address);
  const guesses = [
    {},
    { 'shop-own-call': '' },
    { 'shop-own-call': 'A'.repeat(43) },
    { 'x-user': 'shop-order' },
  ];
  for (const metadata of guesses) {
    t.like(await stranger(metadata), {
      code: status.UNAUTHENTICATED,
      details: 'this listener is not for you',
    });
  }
  t.is((await connect(t, address, createOwnCalls().outbound)()).code, status.UNAUTHENTICATED);
  t.is(arrived.length, 0);
  t.is((await connect(t, address, own.outbound)()).code, status.OK);
  t.is(arrived.length, 1);
});

test('no two processes have the same secrets, and one that comes twice is none', async (t) => {
  const own = createOwnCalls();
  const { address, arrived } = await listen(t, own);
  await connect(t, address, own.outbound)();
  const secret = String(arrived[0]?.get('shop-own-call')[0]);
  t.true(secret.length >= 43 && own.name.length >= 43);
  t.is(new Set([secret, own.name, createOwnCalls().name]).size, 3);
  t.is((await connect(t, address)({ 'shop-own-call': own.name })).code, status.UNAUTHENTICATED);
  t.is((await connect(t, address)({ 'shop-own-call': [secret, secret] })).code, status.UNAUTHENTICATED);
  t.is((await connect(t, address)({ 'shop-own-call': secret })).code, status.OK);
});
