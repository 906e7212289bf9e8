import { AsyncLocalStorage } from 'node:async_hooks';
import { credentials, Metadata, status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import type { ReplayGuardOptions } from 'grpc-replay-guard';
import {
  createIdempotencyInterceptor,
  type IdempotencyInterceptorOptions,
  newIntent,
  sendUntilKnown,
  withIdempotencyKey,
  withSequence,
} from 'grpc-replay-guard/client';
import { Connection } from '../helpers/calls/call.js';
import { type LedgerMethod, onBoth, openLedger } from '../helpers/servers/guarded-ledger.js';

type Outbound = (methods: Methods, caller: Metadata) => Promise<unknown>;
interface Methods {
  readonly append: (metadata?: Metadata) => Promise<unknown>;
  readonly transfer: (metadata?: Metadata) => Promise<unknown>;
}

/** An unguarded service that reports the keys it receives, and a client that derives keys for it. */
async function farService(
  t: ExecutionContext,
  onCall: (key: string, firstSent: string) => void = () => {},
  options: IdempotencyInterceptorOptions = {},
  code: () => status | undefined = () => undefined,
) {
  const { definition, server } = await openLedger(t, 'memory', {
    guard: { mode: 'OFF' },
    handlers: () =>
      onBoth((_account, callback, call) => {
        const method = call.getPath().split('/').at(-1);
        const [key, firstSent] = ['idempotency-key', 'idempotency-first-sent'].map((name) =>
          call.metadata.get(name).join('|'),
        );
        onCall(`${method} ${key}`, String(firstSent));
        const failure = code();
        callback(failure ? { code: failure } : null, {});
      }),
  });
  const interceptors = [createIdempotencyInterceptor(options)];
  const client = new Connection(server.address, credentials.createInsecure(), { interceptors });
  t.teardown(() => client.close());
  return { definition, client };
}

/** A guarded service whose handlers call a second service in `work`. The second service records the keys. */
async function chain(t: ExecutionContext, work: Outbound, guard: Partial<ReplayGuardOptions> = {}) {
  const keys: string[] = [];
  const times: string[] = [];
  const { client, definition } = await farService(t, (key, firstSent) => {
    keys.push(key);
    times.push(firstSent);
  });
  const methods: Methods = {
    append: (metadata) => client.call(definition.Append, {}, metadata ? { metadata } : {}),
    transfer: (metadata) => client.call(definition.Transfer, {}, metadata ? { metadata } : {}),
  };
  const near = await openLedger(t, 'memory', {
    guard,
    handlers: () =>
      onBoth(async (_account, callback, call) => {
        await work(methods, call.metadata);
        // UNAVAILABLE releases the claim, so the next call with the same key executes again.
        callback({ code: status.UNAVAILABLE });
      }),
  });
  const execute = async (key: string | undefined, method: LedgerMethod = 'transfer', metadata = {}) => {
    await near.ask(method, key, '', { metadata });
    return keys.splice(0);
  };
  return { execute, keys, times, methods };
}

test('a second execution sends the same derived keys, and another operation sends different keys', async (t) => {
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

test('a derived key depends on earlier calls of the same method only', async (t) => {
  let both = false;
  const { execute } = await chain(t, async ({ append, transfer }) => {
    if (both) await append();
    await transfer();
  });
  const [alone] = await execute('key');
  both = true;
  t.is((await execute('key'))[1], alone);
});

test('a key in the metadata is kept and does not change the derived keys', async (t) => {
  let own = true;
  const metadata = new Metadata();
  metadata.set('idempotency-key', 'mine');
  const { execute } = await chain(t, async ({ append }) => {
    if (own) await append(metadata);
    await append();
  });
  const [mine, derived] = await execute('key');
  t.is(mine, 'Append mine');
  t.deepEqual(metadata.toJSON(), { 'idempotency-key': ['mine'] });
  own = false;
  t.deepEqual(await execute('key'), [derived]);
});

const firstSent = '2026-01-31T08:30:00.125Z';

test('a call that a handler repeats gets a new key, unless both calls use one intent', async (t) => {
  const twice = await chain(t, async ({ append }) => {
    await append();
    await append();
  });
  t.is(new Set(await twice.execute('k')).size, 2);

  const once = await chain(t, async ({ append }) => {
    const { key, ...sent } = newIntent();
    await append(withIdempotencyKey(key, sent));
    await append(withIdempotencyKey(key, sent));
  });
  const keys = await once.execute('k');
  t.deepEqual([keys.length, new Set(keys).size], [2, 1]);
  t.deepEqual(await once.execute('k'), keys, 'a second execution derives the same intent');
});

test('a derived key has the first-sent time of its operation', async (t) => {
  const { execute, times } = await chain(t, ({ append }) => append(), { retentionMs: 10 * 365 * 86_400_000 });
  for (let i = 0; i < 2; i++) await execute('key', 'transfer', { 'idempotency-first-sent': firstSent });
  t.deepEqual(times, [firstSent, firstSent]);
});

test('a derived key has no first-sent time if its operation has none', async (t) => {
  const { execute, times } = await chain(t, ({ append }) => append());
  await execute('key');
  await execute(newIntent().key);
  t.deepEqual(times, ['', '']);
});

test('the time in a UUIDv7 is the first-sent time if the policy of the method trusts it', async (t) => {
  const policies = { '/test.v1.LedgerService/Transfer': { rejectOldKeys: true } };
  const { execute, times } = await chain(t, ({ append }) => append(), { policies });
  const msecs = Date.now() - 1_000;
  await execute(`${msecs.toString(16).padStart(12, '0').replace(/^.{8}/, '$&-')}-7000-8000-000000000000`);
  t.deepEqual(times, [new Date(msecs).toISOString()]);
});

test('a first-sent time in the metadata is kept', async (t) => {
  const metadata = new Metadata();
  metadata.set('idempotency-first-sent', firstSent);
  const { execute, times } = await chain(t, ({ append }) => append(metadata));
  const now = new Date().toISOString();
  const [key] = await execute('key', 'transfer', { 'idempotency-first-sent': now });
  t.regex(String(key), /^Append [\w-]{43}$/);
  t.deepEqual(times, [firstSent]);
});

test('the interceptor does not change the metadata object of the caller', async (t) => {
  const metadata = new Metadata();
  metadata.set('x-own', 'kept');
  const { execute } = await chain(t, async ({ append }) => {
    await append(metadata);
    await append(metadata);
  });
  t.is(new Set(await execute('key')).size, 2);
  t.deepEqual(metadata.toJSON(), { 'x-own': ['kept'] });
});

const operationHeaders: Record<string, Record<string, string>> = {
  'a key': { 'idempotency-first-sent': firstSent },
  'a sequence': { 'idempotency-producer': 'p', 'idempotency-sequence': '0', 'idempotency-epoch': '3' },
};

for (const [name, metadata] of Object.entries(operationHeaders)) {
  test(`${name} that a handler forwards with the metadata of its caller is replaced by a derived key`, async (t) => {
    const { execute, keys } = await chain(
      t,
      async ({ append }, caller) => {
        t.is(String(caller.get('x-trace')), 'kept');
        await append(caller);
        await append(caller);
        await append(withIdempotencyKey('kept', {}, caller));
        await append(withSequence({ producer: 'own', sequence: 1 }, {}, caller));
      },
      { retentionMs: 10 * 365 * 86_400_000 },
    );
    const key = name === 'a key' ? 'caller' : undefined;
    const first = await execute(key, 'transfer', { ...metadata, 'x-trace': 'kept' });
    t.is(new Set(first.slice(0, 2)).size, 2);
    for (const derived of first.slice(0, 2)) t.regex(derived, /^Append [\w-]{43}$/);
    t.deepEqual(first.slice(2), ['Append kept', 'Append ']);
    t.deepEqual(await execute(key, 'transfer', { ...metadata, 'x-trace': 'kept' }), first);
    t.deepEqual(keys, []);
  });
}

test('the key of the caller is replaced by a derived key also if a handler forwards it without its double quotes', async (t) => {
  const { execute } = await chain(t, async ({ append }, caller) => {
    const forwarded = caller.clone();
    forwarded.set('idempotency-key', 'caller');
    await append(forwarded);
    await append(caller);
  });
  const derived = await execute('"caller"');
  t.is(new Set(derived).size, 2);
  for (const key of derived) t.regex(key, /^Append [\w-]{43}$/);
});

test('a call of a skipped method carries no key, not even the forwarded key of the caller', async (t) => {
  const keys: string[] = [];
  const { client, definition } = await farService(t, (key) => keys.push(key), { skip: () => true });
  const near = await openLedger(t, 'memory', {
    handlers: () =>
      onBoth(async (_account, callback, { metadata }) => {
        await client.call(definition.Append, {}, { metadata });
        callback(null, {});
      }),
  });
  await near.append('caller', {});
  t.deepEqual(keys, ['Append ']);
});

test('every attempt carries the intent of the handler, even if its key is the key of the caller', async (t) => {
  const keys: string[] = [];
  const codes = [status.UNAVAILABLE, status.UNAVAILABLE];
  const { client, definition } = await farService(
    t,
    (key) => keys.push(key),
    {},
    () => codes.shift(),
  );
  const { path, requestSerialize, responseDeserialize } = definition.Append;
  const near = await openLedger(t, 'memory', {
    handlers: () =>
      onBoth(async (_account, callback, call) => {
        const key = String(call.metadata.get('idempotency-key')[0]);
        await sendUntilKnown<object>(
          (...sent) =>
            client.client.makeUnaryRequest(path, requestSerialize, responseDeserialize, {}, ...sent),
          { intent: { key }, metadata: call.metadata, initialBackoffMs: 1 },
        );
        callback(null, {});
      }),
  });
  await near.append('caller', {});
  t.deepEqual(keys, ['Append caller', 'Append caller', 'Append caller']);
});

test('calls inside a sending with a chosen key and later calls of the handler have different derived keys', async (t) => {
  const { execute } = await chain(t, async ({ append }) => {
    const send = (_metadata: Metadata, _options: unknown, callback: (error: null, reply: object) => void) => {
      append().then(() => callback(null, {}));
      return { cancel() {} };
    };
    for (const key of ['first', 'second']) await sendUntilKnown(send as never, { intent: { key } });
    await append();
  });
  const keys = await execute('k');
  t.is(keys.length, 3);
  t.is(new Set(keys).size, 3);
  t.deepEqual(await execute('k'), keys);
});

test('the callback of a call that waited for a connection runs in the context of the call', async (t) => {
  const caller = new AsyncLocalStorage<string>();
  const { client, definition } = await farService(t);
  const callAs = (name: string) =>
    caller.run(name, () => {
      const { path, requestSerialize, responseDeserialize } = definition.Append;
      return new Promise<string | undefined>((resolve) => {
        const answered = () => resolve(caller.getStore());
        client.client.makeUnaryRequest(path, requestSerialize, responseDeserialize, {}, answered);
      });
    });
  t.deepEqual(await Promise.all(['a', 'b', 'c'].map(callAs)), ['a', 'b', 'c']);
});
