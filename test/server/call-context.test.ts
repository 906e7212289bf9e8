import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { credentials, Metadata, type ServiceError, type UntypedServiceImplementation } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import type { CallerIdentity } from '#src/config/caller-identity.js';
import { FollowedFiles } from '#src/platform/followed-files.js';
import { orderService } from '#src/rpc/definitions.js';
import { type CallContext, createCallContext } from '#src/server/call-context.js';
import { identityEntry, scopeFor } from '#src/server/identity.js';
import { createInternalCalls } from '#src/server/internal-calls.js';
import { Connection } from '../helpers/calls/call.js';
import { freshFolder } from '../helpers/databases/engines.js';
import { bearer, keySet, newSigningKey } from '../helpers/identities/tokens.js';
import { startServer } from '../helpers/servers/server.js';
import { silent, silentFailures } from '../helpers/servers/shop.js';

type Test = ExecutionContext;
type Callback = (error: ServiceError | null, value?: object) => void;

interface ReceivedCall {
  readonly caller: string | undefined;
  readonly deadline: number;
}

/** Starts two servers. The handler of the near server calls the far server, which records the call. */
async function chain(t: Test, identity: CallerIdentity, internalCalls = createInternalCalls()) {
  const entry = identityEntry(identity, internalCalls);
  const context: CallContext = createCallContext(entry);
  const received: ReceivedCall[] = [];
  const far = await startServer(t, {
    services: [
      [
        orderService,
        {
          GetOrder: (call: { metadata: Metadata; getDeadline(): Date | number }, callback: Callback) => {
            const [caller] = call.metadata.get(entry?.name ?? 'x-user');
            received.push({ caller: caller?.toString(), deadline: Number(call.getDeadline()) });
            callback(null, {});
          },
        } as unknown as UntypedServiceImplementation,
      ],
    ],
  });
  const outbound = new Connection(far.address, credentials.createInsecure(), {
    interceptors: [context.outbound],
  });
  t.teardown(() => outbound.close());
  const near = await startServer(t, {
    interceptors: [context.inbound],
    services: [
      [
        orderService,
        {
          GetOrder: (call: { request: { orderId: string } }, callback: Callback) => {
            const deadlineMs = Number(call.request.orderId) || undefined;
            outbound
              .call(orderService.GetOrder, {}, deadlineMs ? { deadlineMs } : {})
              .then(() => callback(null, {}));
          },
        } as unknown as UntypedServiceImplementation,
      ],
    ],
  });
  return { received, near: near.connect(), outbound };
}

const byUser: CallerIdentity = { kind: 'metadata', name: 'x-user' };

test('an outbound call inherits the deadline of the inbound call', async (t) => {
  const { received, near } = await chain(t, { kind: 'single' });
  const before = Date.now();
  await near.call(orderService.GetOrder, {}, { deadlineMs: 60_000 });
  const [first] = received;
  t.true(first && first.deadline <= Date.now() + 60_000 && first.deadline > before + 50_000);
});

test('an outbound call keeps its own earlier deadline', async (t) => {
  const { received, near } = await chain(t, { kind: 'single' });
  await near.call(orderService.GetOrder, { orderId: '30000' }, { deadlineMs: 3_600_000 });
  await near.call(orderService.GetOrder, { orderId: '30000' });
  for (const { deadline } of received) t.true(deadline <= Date.now() + 30_000);
  t.is(received.length, 2);
});

test('an outbound call has no deadline if the inbound call has none', async (t) => {
  const { received, near } = await chain(t, { kind: 'single' });
  await near.call(orderService.GetOrder, {});
  t.is(received[0]?.deadline, Number.POSITIVE_INFINITY);
});

test('concurrent outbound calls each carry the identity of their own caller', async (t) => {
  const { received, near } = await chain(t, byUser);
  const users = Array.from({ length: 20 }, (_, index) => `user-${index}`);
  await Promise.all(
    users.map((user) => near.call(orderService.GetOrder, {}, { metadata: { 'x-user': user } })),
  );
  t.deepEqual(received.map(({ caller }) => caller).sort(), users.sort());
});

test('an outbound call carries no identity if its caller has none', async (t) => {
  const { received, near } = await chain(t, byUser);
  await near.call(orderService.GetOrder, {});
  t.is(received[0]?.caller, undefined);
});

test('a call that the server makes without a caller carries the identity of the server', async (t) => {
  const { received, outbound } = await chain(t, byUser);
  await outbound.call(orderService.GetOrder, {});
  t.is(received[0]?.caller, 'shop-order');
});

test('metadata of a caller is not copied if the identity is a certificate', async (t) => {
  const { received, near } = await chain(t, { kind: 'mtls' });
  await near.call(orderService.GetOrder, {}, { metadata: { 'x-user': 'mallory' } });
  t.is(received[0]?.caller, undefined);
});

const byToken: CallerIdentity = { kind: 'jwt', keys: { path: '' }, issuer: 'issuer', audience: 'shop' };

test('an outbound call carries the token of its caller, and no token if the caller has none', async (t) => {
  const { received, near } = await chain(t, byToken);
  await near.call(orderService.GetOrder, {}, { metadata: { authorization: 'Bearer a.b.c' } });
  await near.call(orderService.GetOrder, {});
  t.deepEqual(
    received.map(({ caller }) => caller),
    ['Bearer a.b.c', undefined],
  );
});

test('the self token identifies the server, and a guessed value identifies no caller', async (t) => {
  const internalCalls = createInternalCalls();
  const { received, outbound } = await chain(t, byToken, internalCalls);
  await outbound.call(orderService.GetOrder, {});
  t.is(received[0]?.caller, internalCalls.selfToken);
  const key = await newSigningKey('one');
  const jwks = join(await freshFolder(t), 'jwks.json');
  await writeFile(jwks, JSON.stringify(keySet(key)));
  const scope = scopeFor(
    { ...byToken, keys: { path: jwks } },
    internalCalls,
    silentFailures,
    new FollowedFiles(silent),
  );
  const scopeOf = (...authorization: string[]) => {
    const metadata = new Metadata();
    for (const value of authorization) metadata.add('authorization', value);
    return scope({ metadata });
  };
  t.is(await scopeOf(internalCalls.selfToken), 'shop-order');
  const guesses = [
    'shop-order',
    `Bearer ${internalCalls.selfToken}`,
    internalCalls.selfToken.slice(1),
    createInternalCalls().selfToken,
  ];
  for (const guess of guesses) t.is(await scopeOf(guess), undefined);
  t.is(await scopeOf(internalCalls.selfToken, internalCalls.selfToken), undefined);
  t.is(await scopeOf(), undefined);
  const { authorization } = await bearer(key, { iss: 'issuer', sub: 'shop-order' });
  t.not(await scopeOf(authorization), 'shop-order');
});
