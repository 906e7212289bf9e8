import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { credentials, type Interceptor, type Metadata, status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { service } from 'grpc-health-check';
import { type Address, formatAddress } from '#src/config/address.js';
import { ConfigError } from '#src/config/config.js';
import { Closers } from '#src/platform/closers.js';
import { createInternalCalls, type InternalCalls } from '#src/server/internal-calls.js';
import { listenInternally } from '#src/server/listeners.js';
import { Connection } from '../helpers/calls/call.js';

type Test = ExecutionContext;

/** Starts an internal listener. Its handler records the metadata of each call. */
async function listen(t: Test, internalCalls: InternalCalls, address?: Address) {
  const received: Metadata[] = [];
  const handlers = {
    Check: (call: { metadata: Metadata }, answer: (error: null, reply: object) => void) => {
      received.push(call.metadata);
      answer(null, { status: 'SERVING' });
    },
  };
  const work = { start: () => {}, stop: async () => {} };
  const hosted = { name: 'health', definition: service, handlers, work };
  const closers = new Closers();
  t.teardown(() => closers.close());
  const options = { tls: undefined, interceptors: [], internalCalls, graceMs: 0, closers };
  return { received, address: formatAddress(await listenInternally(hosted as never, options, address)) };
}

function connect(t: Test, address: string, ...interceptors: Interceptor[]) {
  const connection = new Connection(address, credentials.createInsecure(), { interceptors });
  t.teardown(() => connection.close());
  const check = service.Check as NonNullable<(typeof service)['Check']>;
  return (metadata: Record<string, string | string[]> = {}) =>
    connection.call(check, { service: '' }, { metadata });
}

test('the internal listener accepts calls of its own process and refuses every other call', async (t) => {
  const internalCalls = createInternalCalls();
  const { address, received } = await listen(t, internalCalls);
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
      details: 'this listener accepts only calls from its own process',
    });
  }
  t.is((await connect(t, address, createInternalCalls().outbound)()).code, status.UNAUTHENTICATED);
  t.is(received.length, 0);
  t.is((await connect(t, address, internalCalls.outbound)()).code, status.OK);
  t.is(received.length, 1);
});

test('the secrets of two processes differ, and a secret that is sent twice is refused', async (t) => {
  const internalCalls = createInternalCalls();
  const { address, received } = await listen(t, internalCalls);
  await connect(t, address, internalCalls.outbound)();
  const secret = String(received[0]?.get('shop-own-call')[0]);
  t.true(secret.length >= 43 && internalCalls.selfToken.length >= 43);
  t.is(new Set([secret, internalCalls.selfToken, createInternalCalls().selfToken]).size, 3);
  t.is(
    (await connect(t, address)({ 'shop-own-call': internalCalls.selfToken })).code,
    status.UNAUTHENTICATED,
  );
  t.is((await connect(t, address)({ 'shop-own-call': [secret, secret] })).code, status.UNAUTHENTICATED);
  t.is((await connect(t, address)({ 'shop-own-call': secret })).code, status.OK);
});

test('a bind failure of the internal listener names no setting', async (t) => {
  const taken = createServer().listen(0, '127.0.0.1');
  t.teardown(() => taken.close());
  await once(taken, 'listening');
  const { port } = taken.address() as AddressInfo;
  const listening = listen(t, createInternalCalls(), { host: '127.0.0.1', port });
  const error = await t.throwsAsync(listening);
  t.false(error instanceof ConfigError);
  t.regex(error.message, /^the internal listener could not be bound: .*EADDRINUSE/);
  t.notRegex(error.message, /GRPC_ADDRESS/);
});
