import { AsyncLocalStorage } from 'node:async_hooks';
import { credentials, Metadata, status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { derivedKeys } from 'grpc-replay-guard/client';
import { Connection } from '../helpers/call.js';
import { onBoth, openLedger } from '../helpers/guarded-ledger.js';

type Outbound = (methods: Methods) => Promise<unknown>;
interface Methods {
  readonly append: (metadata?: Metadata) => Promise<unknown>;
  readonly transfer: (metadata?: Metadata) => Promise<unknown>;
}

/** An unguarded service that tells which keys it gets, and a client of it that derives them. */
async function farService(t: ExecutionContext, told: (key: string) => void = () => {}) {
  const { definition, server } = await openLedger(t, 'memory', {
    guard: { mode: 'OFF' },
    handlers: () =>
      onBoth((_account, callback, call) => {
        const method = call.getPath().split('/').at(-1);
        told(`${method} ${call.metadata.get('idempotency-key').join('|')}`);
        callback(null, {});
      }),
  });
  const interceptors = [derivedKeys()];
  const client = new Connection(server.address, credentials.createInsecure(), { interceptors });
  t.teardown(() => client.close());
  return { definition, client };
}

/** A guarded service whose handlers do `work` with a client of a second service, which notes the keys it gets. */
async function chain(t: ExecutionContext, work: Outbound) {
  const keys: string[] = [];
  const { client, definition } = await farService(t, (key) => keys.push(key));
  const methods: Methods = {
    append: (metadata) => client.call(definition.Append, {}, metadata ? { metadata } : {}),
    transfer: (metadata) => client.call(definition.Transfer, {}, metadata ? { metadata } : {}),
  };
  const near = await openLedger(t, 'memory', {
    handlers: () =>
      onBoth(async (_account, callback) => {
        await work(methods);
        // Released, so that the same key executes again.
        callback({ code: status.UNAVAILABLE });
      }),
  });
  const execute = async (key: string, method: 'append' | 'transfer' = 'transfer') => {
    await near.ask(method, key);
    return keys.splice(0);
  };
  return { execute, keys, methods };
}

test('a second execution sends the same keys, another operation others', async (t) => {
  const { execute } = await chain(t, async ({ append, transfer }) => {
    await append();
    await append();
    await transfer();
    await append();
  });
  const first = await execute('one');
  t.deepEqual(
    first.map((key) => key.split(' ')[0]),
    ['Append', 'Append', 'Transfer', 'Append'],
  );
  for (const key of first) t.regex(key, /^\w+ [A-Za-z0-9._~:/+=@-]{20,255}$/);
  t.is(new Set(first.map((key) => key.split(' ')[1])).size, 4);
  t.deepEqual(await execute('one'), first);
  t.deepEqual(await execute('one'), first);
  const others = [await execute('two'), await execute('one', 'append')].flat();
  t.is(new Set([...first, ...others]).size, 12);
});

test('a derived key depends on the calls of its own method only', async (t) => {
  let both = false;
  const { execute } = await chain(t, async ({ append, transfer }) => {
    if (both) await append();
    await transfer();
  });
  const [alone] = await execute('key');
  both = true;
  t.is((await execute('key'))[1], alone);
});

test('a key that is there is kept, and does not count', async (t) => {
  let own = true;
  const metadata = new Metadata();
  metadata.set('idempotency-key', 'mine');
  const { execute } = await chain(t, async ({ append }) => {
    await append(own ? metadata : undefined);
  });
  t.deepEqual(await execute('key'), ['Append mine']);
  t.deepEqual(metadata.toJSON(), { 'idempotency-key': ['mine'] });
  own = false;
  t.not((await execute('key'))[0], 'Append mine');
});

test('the caller’s metadata is not changed', async (t) => {
  const metadata = new Metadata();
  metadata.set('x-own', 'kept');
  const { execute } = await chain(t, async ({ append }) => {
    await append(metadata);
    await append(metadata);
  });
  t.is(new Set(await execute('key')).size, 2);
  t.deepEqual(metadata.toJSON(), { 'x-own': ['kept'] });
});

test('outside a guarded call no key is added', async (t) => {
  const { keys, methods } = await chain(t, async () => {});
  await methods.append();
  t.deepEqual(keys, ['Append ']);
});

test('calls that wait for a connection are each answered in the context they were made in', async (t) => {
  const caller = new AsyncLocalStorage<string>();
  const { client, definition } = await farService(t);
  const ask = (name: string) =>
    caller.run(name, () => {
      const { path, requestSerialize, responseDeserialize } = definition.Append;
      return new Promise<string | undefined>((resolve) => {
        const answered = () => resolve(caller.getStore());
        client.client.makeUnaryRequest(path, requestSerialize, responseDeserialize, {}, answered);
      });
    });
  t.deepEqual(await Promise.all(['a', 'b', 'c'].map(ask)), ['a', 'b', 'c']);
});
