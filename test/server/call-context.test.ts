import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { credentials, Metadata, type ServiceError, type UntypedServiceImplementation } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import type { CallerIdentity } from '#src/config/settings.js';
import { orderService } from '#src/rpc/definitions.js';
import { type CallContext, createCallContext } from '#src/server/call-context.js';
import { identityEntry, scopeFor } from '#src/server/identity.js';
import { createOwnCalls } from '#src/server/own-calls.js';
import { Connection } from '../helpers/calls/call.js';
import { freshFolder } from '../helpers/databases/engines.js';
import { bearer, keySet, newSigningKey } from '../helpers/identities/tokens.js';
import { startServer } from '../helpers/servers/server.js';
import { silent } from '../helpers/servers/shop.js';

type Test = ExecutionContext;
type Callback = (error: ServiceError | null, value?: object) => void;

interface Seen {
  readonly caller: string | undefined;
  readonly deadline: number;
}

/** Two servers: the handler of the first calls the second, which notes what arrives. */
async function chain(t: Test, identity: CallerIdentity, own = createOwnCalls()) {
  const entry = identityEntry(identity, own);
  const context: CallContext = createCallContext(entry);
  const seen: Seen[] = [];
  const far = await startServer(t, {
    services: [
      [
        orderService,
        {
          GetOrder: (call: { metadata: Metadata; getDeadline(): Date | number }, callback: Callback) => {
            const [caller] = call.metadata.get(entry?.name ?? 'x-user');
            seen.push({ caller: caller?.toString(), deadline: Number(call.getDeadline()) });
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
  return { seen, near: near.connect(), outbound };
}

const byUser: CallerIdentity = { kind: 'metadata', name: 'x-user' };

test('the deadline of the inbound call is the deadline of the outbound call', async (t) => {
  const { seen, near } = await chain(t, { kind: 'single' });
  const before = Date.now();
  await near.call(orderService.GetOrder, {}, { deadlineMs: 60_000 });
  const [arrived] = seen;
  t.true(arrived && arrived.deadline <= Date.now() + 60_000 && arrived.deadline > before + 50_000);
});

test('an earlier deadline of the outbound call itself stays', async (t) => {
  const { seen, near } = await chain(t, { kind: 'single' });
  await near.call(orderService.GetOrder, { orderId: '30000' }, { deadlineMs: 3_600_000 });
  await near.call(orderService.GetOrder, { orderId: '30000' });
  for (const { deadline } of seen) t.true(deadline <= Date.now() + 30_000);
  t.is(seen.length, 2);
});

test('without a deadline there is none', async (t) => {
  const { seen, near } = await chain(t, { kind: 'single' });
  await near.call(orderService.GetOrder, {});
  t.is(seen[0]?.deadline, Number.POSITIVE_INFINITY);
});

test("each outbound call carries its own caller's name", async (t) => {
  const { seen, near } = await chain(t, byUser);
  const users = Array.from({ length: 20 }, (_, index) => `user-${index}`);
  await Promise.all(
    users.map((user) => near.call(orderService.GetOrder, {}, { metadata: { 'x-user': user } })),
  );
  t.deepEqual(seen.map(({ caller }) => caller).sort(), users.sort());
});

test('a caller without a name does not borrow the name of the server', async (t) => {
  const { seen, near } = await chain(t, byUser);
  await near.call(orderService.GetOrder, {});
  t.is(seen[0]?.caller, undefined);
});

test('what the server does for itself carries its own name', async (t) => {
  const { seen, outbound } = await chain(t, byUser);
  await outbound.call(orderService.GetOrder, {});
  t.is(seen[0]?.caller, 'shop-order');
});

test('only an identity in metadata is passed on', async (t) => {
  const { seen, near } = await chain(t, { kind: 'mtls' });
  await near.call(orderService.GetOrder, {}, { metadata: { 'x-user': 'mallory' } });
  t.is(seen[0]?.caller, undefined);
});

const byToken: CallerIdentity = { kind: 'jwt', keys: { path: '' }, issuer: 'issuer', audience: 'shop' };

test("a caller's token is passed on, and without one nobody else's is", async (t) => {
  const { seen, near } = await chain(t, byToken);
  await near.call(orderService.GetOrder, {}, { metadata: { authorization: 'Bearer a.b.c' } });
  await near.call(orderService.GetOrder, {});
  t.deepEqual(
    seen.map(({ caller }) => caller),
    ['Bearer a.b.c', undefined],
  );
});

test('what the server does for itself needs no token, and nobody can say that it is the server', async (t) => {
  const own = createOwnCalls();
  const { seen, outbound } = await chain(t, byToken, own);
  await outbound.call(orderService.GetOrder, {});
  t.is(seen[0]?.caller, own.name);
  const key = await newSigningKey('one');
  const jwks = join(await freshFolder(t), 'jwks.json');
  await writeFile(jwks, JSON.stringify(keySet(key)));
  const scope = scopeFor({ ...byToken, keys: { path: jwks } }, own, silent);
  const scopeOf = (...authorization: string[]) => {
    const metadata = new Metadata();
    for (const value of authorization) metadata.add('authorization', value);
    return scope({ metadata });
  };
  t.is(await scopeOf(own.name), 'shop-order');
  const guesses = ['shop-order', `Bearer ${own.name}`, own.name.slice(1), createOwnCalls().name];
  for (const guess of guesses) t.is(await scopeOf(guess), undefined);
  t.is(await scopeOf(own.name, own.name), undefined);
  t.is(await scopeOf(), undefined);
  const { authorization } = await bearer(key, { iss: 'issuer', sub: 'shop-order' });
  t.not(await scopeOf(authorization), 'shop-order');
});
