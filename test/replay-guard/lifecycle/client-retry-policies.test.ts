import { randomUUID } from 'node:crypto';
import {
  type ClientOptions,
  credentials,
  ServerInterceptingCall,
  type ServerInterceptor,
  status,
} from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { Connection } from '../../helpers/calls/call.js';
import { openUrl } from '../../helpers/databases/open-url.js';
import { sharedData } from '../../helpers/databases/shared-data.js';
import { startProxy } from '../../helpers/proxies/postgres-proxy.js';
import {
  type Ledger,
  type LedgerMethod,
  type LedgerSetup,
  methods,
  onBoth,
  openLedger,
  writeEffect,
} from '../../helpers/servers/guarded-ledger.js';
import { Barrier } from '../../helpers/waiting/barrier.js';
import { poll } from '../../helpers/waiting/poll.js';

// The callers in this file have a service config and no retry code: grpc-js itself retries after the guard's refusals.

const shared = sharedData(test);
const paths = ['/test.v1.LedgerService/Append', '/test.v1.LedgerService/Transfer'];
const policies = (policy: object) => Object.fromEntries(paths.map((path) => [path, policy]));

const retrying = {
  retryPolicy: {
    maxAttempts: 5,
    initialBackoff: '0.1s',
    maxBackoff: '1s',
    backoffMultiplier: 2,
    retryableStatusCodes: ['UNAVAILABLE'],
  },
};
/** The backoff of the client is longer than any test, so each retry follows the pushback of the server. */
const retryingByPushback = {
  retryPolicy: { ...retrying.retryPolicy, initialBackoff: '300s', maxBackoff: '300s' },
};
const hedging = (hedgingDelay: string) => ({
  hedgingPolicy: { maxAttempts: 5, hedgingDelay, nonFatalStatusCodes: ['UNAVAILABLE'] },
});

/** A client whose retries come from its service config only. */
function stockClient(t: ExecutionContext, { definition, server }: Ledger, policy: object) {
  const config = { loadBalancingConfig: [], methodConfig: [{ name: [{}], ...policy }] };
  const options: ClientOptions = {
    'grpc.enable_retries': 1,
    'grpc.service_config': JSON.stringify(config),
  };
  const connection = new Connection(server.address, credentials.createInsecure(), options);
  t.teardown(() => connection.close());
  return (method: LedgerMethod, key: string, account: string) =>
    method === 'append'
      ? connection.call(definition.Append, { account }, { key })
      : connection.call(definition.Transfer, { from: account }, { key });
}

/** Records the `grpc-previous-rpc-attempts` of each call that a server receives. */
function attempts() {
  const previousAttempts: number[] = [];
  const interceptor: ServerInterceptor = (_method, call) =>
    new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMetadata: (metadata, pass) => {
            previousAttempts.push(Number(metadata.get('grpc-previous-rpc-attempts')[0] ?? 0));
            pass(metadata);
          },
        }),
    });
  return { previousAttempts, interceptor };
}

/** Handlers that wait at the barrier, write and then answer. */
const held =
  (barrier: Barrier): NonNullable<LedgerSetup['handlers']> =>
  (database) =>
    onBoth(async (account, callback) => {
      await barrier.pass();
      await writeEffect(database, account);
      callback(null, { entryId: randomUUID(), transferId: randomUUID() });
    });

/** A server whose handlers wait at a barrier, and the server that the stock client calls: the same or another. */
async function servers(t: ExecutionContext, where: 'this server' | 'another server', waitMs = 0) {
  const data = await shared(t, where === 'this server' ? 'sqlite' : 'postgres');
  const [barrier, name, { previousAttempts, interceptor }] = [new Barrier(), randomUUID(), attempts()];
  const setup = {
    engine: { unitLimitMs: 60_000 },
    handlers: held(barrier),
    guard: { scope: () => name, policies: policies({ waitMs, leaseMs: 60_000 }) },
  };
  const first = await openLedger(t, data, { ...setup, before: where === 'this server' ? [interceptor] : [] });
  const target =
    where === 'this server' ? first : await openLedger(t, data, { ...setup, before: [interceptor] });
  t.teardown(() => barrier.open());
  const effects = async () => (await first.effects()).filter((account) => account === name).length;
  return { barrier, first, target, name, previousAttempts, effects };
}

for (const where of ['this server', 'another server'] as const) {
  for (const method of methods) {
    for (const [title, policy] of [
      ['retries', retrying],
      ['retries by pushback', retryingByPushback],
      ['hedges', hedging('1s')],
    ] as const) {
      test(`${method}: a client that ${title} gets the reply of an execution on ${where}`, async (t) => {
        const { barrier, first, target, name, previousAttempts, effects } = await servers(t, where);
        const running = first.ask(method, 'key', name);
        await barrier.reached();
        previousAttempts.length = 0;
        const call = stockClient(t, target, policy)(method, 'key', name);
        await target.outcomes.reached('in_progress', 2);
        barrier.open();
        const { code, bytes } = await running;
        t.is(code, status.OK);
        t.like(await call, { code: status.OK, replayed: true, bytes });
        t.deepEqual(previousAttempts, [...previousAttempts.keys()]);
        t.true(previousAttempts.length >= 3);
        t.is(first.outcomes.count('executed') + target.outcomes.count('executed'), first === target ? 2 : 1);
        t.is(await effects(), 1);
      });
    }
  }
}

for (const method of methods) {
  for (const waits of [false, true]) {
    const hedges = waits ? 'wait' : 'are refused';
    test(`${method}: a client whose hedges ${hedges} gets the reply of one execution`, async (t) => {
      const { barrier, first, name, previousAttempts, effects } = await servers(
        t,
        'this server',
        waits ? 60_000 : 0,
      );
      const call = stockClient(t, first, hedging('0.05s'))(method, 'key', name);
      await barrier.reached();
      await poll('three attempts have arrived', () => previousAttempts.length >= 3);
      if (!waits) await first.outcomes.reached('in_progress', 2);
      barrier.open();
      const { code, bytes } = await call;
      t.is(code, status.OK);
      t.like(await first.ask(method, 'key', name), { replayed: true, bytes });
      t.is(first.entered, 1);
      t.is(await effects(), 1);
    });
  }
}

test('a client that retries gets OK after its execution has lost its lease', async (t) => {
  const [barrier, { previousAttempts, interceptor }] = [new Barrier(), attempts()];
  const ledger = await openLedger(t, await shared(t, 'sqlite'), {
    before: [interceptor],
    engine: { unitLimitMs: 100 },
    handlers: (database) =>
      onBoth(async (account, callback) => {
        await writeEffect(database, account);
        if (ledger.entered === 1) await barrier.pass();
        callback(null, {});
      }),
  });
  t.teardown(() => barrier.open());
  const reply = await stockClient(t, ledger, retryingByPushback)('append', 'key', 'alice');
  t.like(reply, { code: status.OK, replayed: false });
  t.deepEqual(previousAttempts, [0, 1]);
  t.deepEqual(await ledger.effects(), ['alice']);
});

/** A server whose connections to Postgres go through a proxy. */
async function behindProxy(t: ExecutionContext) {
  const data = await shared(t, 'postgres');
  const proxy = await startProxy(t, data.url);
  const opened = await openUrl(proxy.url);
  t.teardown(opened.close);
  const [name, { previousAttempts, interceptor }] = [randomUUID(), attempts()];
  const ledger = await openLedger(t, data, {
    opened,
    before: [interceptor],
    guard: { scope: () => name, policies: policies({ waitMs: 0, leaseMs: 60_000 }) },
  });
  const effects = async () => (await ledger.effects()).filter((account) => account === name).length;
  return { proxy, ledger, name, previousAttempts, effects, ask: stockClient(t, ledger, retryingByPushback) };
}

for (const when of ['before', 'after'] as const) {
  test(`postgres: a client that retries gets OK when the connection breaks ${when} its claim`, async (t) => {
    const { proxy, ledger, name, previousAttempts, effects, ask } = await behindProxy(t);
    proxy.cutAt(/INSERT INTO replay_guard_records/, when);
    t.like(await ask('append', 'key', name), { code: status.OK, replayed: false });
    t.deepEqual(previousAttempts, [0, 1]);
    t.is(ledger.entered, 1);
    t.is(await effects(), 1);
  });

  test(`postgres: a client that retries gets OK when the connection breaks ${when} its commit`, async (t) => {
    const { proxy, ledger, name, previousAttempts, effects, ask } = await behindProxy(t);
    proxy.cutAt(/^COMMIT/, when, 'down');
    const call = ask('append', 'key', name);
    await ledger.outcomes.reached('refused');
    proxy.up();
    t.like(await call, { code: status.OK, replayed: when === 'after' });
    // The circuit may have opened. More attempts are then needed until it closes.
    t.deepEqual(previousAttempts, [...previousAttempts.keys()]);
    t.is(ledger.entered, when === 'after' ? 1 : 2);
    t.is(await effects(), 1);
  });
}

test('a client that retries does not repeat a call that was refused permanently', async (t) => {
  const { previousAttempts, interceptor } = attempts();
  const ledger = await openLedger(t, await shared(t, 'sqlite'), { before: [interceptor] });
  const ask = stockClient(t, ledger, retrying);
  t.is((await ask('append', 'key', 'alice')).code, status.OK);
  const refused = [await ask('append', 'not a key', 'alice'), await ask('append', 'key', 'bob')];
  await ledger.database.query('UPDATE replay_guard_records SET reply = $1', [Buffer.from('corrupt')]);
  refused.push(await ask('append', 'key', 'alice'));
  t.deepEqual(
    refused.map(({ code }) => code),
    [status.INVALID_ARGUMENT, status.FAILED_PRECONDITION, status.DATA_LOSS],
  );
  for (const { trailers } of refused) t.deepEqual(trailers.get('grpc-retry-pushback-ms'), []);
  t.deepEqual(previousAttempts, [0, 0, 0, 0]);
});
