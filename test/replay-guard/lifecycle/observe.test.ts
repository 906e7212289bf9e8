import { setImmediate as nextTurn } from 'node:timers/promises';
import { status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { scopeFromMetadata, stableId } from 'grpc-replay-guard';
import { createIdempotencyInterceptor } from 'grpc-replay-guard/client';
import { MemoryStore } from 'grpc-replay-guard/memory';
import type { ClaimResult, OpenStore } from 'grpc-replay-guard/store';
import { emptiedData } from '../../helpers/databases/emptied-data.js';
import { engines } from '../../helpers/databases/engines.js';
import { Cancellations } from '../../helpers/servers/cancellations.js';
import {
  type Ledger,
  methods,
  onBoth,
  openLedger,
  writeEffect,
} from '../../helpers/servers/guarded-ledger.js';
import { captureUnhandledErrors } from '../../helpers/servers/unhandled-errors.js';
import { PassingStore } from '../../helpers/stores/passing-store.js';
import { Barrier } from '../../helpers/waiting/barrier.js';
import { poll } from '../../helpers/waiting/poll.js';

const emptied = emptiedData(test);
const guardOnly = captureUnhandledErrors(test);
const paths = ['/test.v1.LedgerService/Append', '/test.v1.LedgerService/Transfer'];
const policies = (policy: object) => Object.fromEntries(paths.map((path) => [path, policy]));
const OBSERVE = { mode: 'OBSERVE' } as const;
const opened = (store: PassingStore | MemoryStore) => ({ store }) as unknown as OpenStore;

/** Resolves when `count` replies are stored. The guard sends a reply before it stores the reply. */
const stored = ({ outcomes }: Ledger, count = 1) =>
  poll(`${count} replies are stored`, () => outcomes.did('complete') + outcomes.did('fail') >= count);

for (const engine of engines) {
  for (const method of methods) {
    test.serial(
      `${engine}, ${method}: every call executes and is reported with its outcome under ENFORCE`,
      async (t) => {
        const [held, open] = [new Barrier(), new Barrier()];
        open.open();
        const ledger = await openLedger(t, await emptied(t, engine), {
          guard: { ...OBSERVE, scope: scopeFromMetadata('x-tenant') },
          handlers: (database) =>
            onBoth(async (account, callback) => {
              await writeEffect(database, account);
              await (account === 'held' ? held : open).pass();
              if (account === 'unavailable') callback({ code: status.UNAVAILABLE });
              else if (account === 'missing')
                callback({ code: status.NOT_FOUND, details: 'no such account' });
              else callback(null, { entryId: `${ledger.entered}`, transferId: `${ledger.entered}` });
            }),
        });
        const ask = (key: string, account: string, metadata = {}) =>
          ledger.ask(method, key, account, { metadata: { 'x-tenant': 'a', ...metadata } });
        const first = await ask('key', 'alice');
        t.deepEqual(first.trailers.get('idempotency-expires-at'), []);
        await stored(ledger);
        const duplicate = await ask('key', 'alice');
        t.like(duplicate, { code: status.OK, replayed: false });
        t.notDeepEqual(duplicate.bytes, first.bytes);
        t.like(await ask('key', 'bob'), { code: status.OK, replayed: false });
        // A failure that is not stored releases its key. Its writes stay committed, as they would without a guard.
        t.is((await ask('free', 'unavailable')).code, status.UNAVAILABLE);
        await poll('the release', () => ledger.outcomes.did('release') === 1);
        t.is((await ask('free', 'unavailable')).code, status.UNAVAILABLE);
        t.is((await ask('failed', 'missing')).code, status.NOT_FOUND);
        await stored(ledger, 2);
        t.is((await ask('failed', 'missing')).code, status.NOT_FOUND);
        const running = ask('held', 'held');
        await held.reached();
        const second = ask('held', 'held');
        await held.reached(2);
        held.open();
        t.deepEqual([(await running).code, (await second).code], [status.OK, status.OK]);
        const longAgo = { 'idempotency-first-sent': '2020-01-01T00:00:00Z' };
        t.is((await ask('late', 'alice', longAgo)).code, status.OK);
        t.is((await ledger.ask(method, undefined as never, 'alice')).code, status.OK);
        t.is((await ask('no key', 'alice')).code, status.OK);
        t.is((await ledger.ask(method, 'key', 'alice')).code, status.OK);
        t.deepEqual(ledger.outcomes.observed, [
          ...['executed', 'replayed', 'reused', 'executed', 'executed', 'executed', 'replayed'],
          ...['executed', 'in_progress', 'expired', 'key_missing', 'key_invalid', 'refused'],
        ] as never);
        t.is(ledger.entered, 13);
        t.is((await ledger.effects()).length, 13, 'each call had its own transactions');
        t.is(ledger.outcomes.count('bypassed'), 13);

        await stored(ledger, 3);
        ledger.guard.setModes({ server: 'ENFORCE' });
        t.like(await ask('key', 'alice'), { bytes: first.bytes, replayed: true });
        t.is((await ask('key', 'bob')).code, status.FAILED_PRECONDITION);
        const failed = await ask('failed', 'missing');
        t.like(failed, { code: status.NOT_FOUND, details: 'no such account', replayed: true });
        t.like(await ask('free', 'alice'), { code: status.OK, replayed: false });
        t.is(ledger.entered, 14);
      },
    );
  }

  test.serial(`${engine}: the reply to a client that has disconnected is stored`, async (t) => {
    const [barrier, cancellations] = [new Barrier(), new Cancellations()];
    const ledger = await openLedger(t, await emptied(t, engine), {
      guard: OBSERVE,
      before: [cancellations.interceptor],
      handlers: () =>
        onBoth((_account, callback) => barrier.pass().then(() => callback(null, { entryId: 'x' }))),
    });
    const client = new AbortController();
    const first = ledger.append('key', {}, { signal: client.signal });
    await barrier.reached();
    client.abort();
    t.is((await first).code, status.CANCELLED);
    await cancellations.noticed();
    barrier.open();
    await stored(ledger);
    ledger.guard.setModes({ server: 'ENFORCE' });
    t.like(await ledger.append('key'), { message: { entryId: 'x' }, replayed: true });
    t.is(ledger.entered, 1);
  });

  test.serial(`${engine}: an ENFORCE call waits for an execution that began under OBSERVE`, async (t) => {
    const barrier = new Barrier();
    const ledger = await openLedger(t, await emptied(t, engine), {
      guard: OBSERVE,
      handlers: () =>
        onBoth((_account, callback) => barrier.pass().then(() => callback(null, { entryId: 'x' }))),
    });
    const first = ledger.append('key');
    await barrier.reached();
    ledger.guard.setModes({ server: 'ENFORCE' });
    const second = ledger.append('key');
    await poll('the second call has asked for the key', () => ledger.outcomes.did('claim') === 2);
    barrier.open();
    t.like(await first, { code: status.OK, replayed: false });
    t.like(await second, { bytes: (await first).bytes, replayed: true });
    t.is(ledger.entered, 1);
  });
}

test.serial('stable ids and derived keys are random in an observed call', async (t) => {
  const ids: string[] = [];
  const keys: unknown[] = [];
  const ledger: Ledger = await openLedger(t, 'memory', {
    guard: OBSERVE,
    handlers: () => ({
      Append: (_call, callback) => {
        ids.push(stableId('order'));
        const { path, requestSerialize, responseDeserialize } = ledger.definition.Touch;
        ledger.connection.client.makeUnaryRequest(
          ...([path, requestSerialize, responseDeserialize, {}] as const),
          { interceptors: [createIdempotencyInterceptor()] },
          () => callback(null, {}),
        );
      },
      Touch: (call, callback) => {
        keys.push(...call.metadata.get('idempotency-key'));
        callback(null, {});
      },
    }),
  });
  for (const _ of [1, 2]) t.is((await ledger.append('key')).code, status.OK);
  t.is(new Set(ids).size, 2);
  t.is(new Set(keys).size, 2);
});

test.serial('a reply above the size limit is sent and not stored', async (t) => {
  const ledger = await openLedger(t, 'memory', {
    guard: { ...OBSERVE, policies: policies({ maxReplyBytes: 10 }) },
    handlers: () => onBoth((_account, callback) => callback(null, { entryId: 'x'.repeat(100) })),
  });
  for (const count of [1, 2]) {
    t.is((await ledger.append('key')).message?.entryId?.length, 100);
    await poll('the key is free', () => ledger.outcomes.did('release') === count);
  }
  t.deepEqual(ledger.outcomes.observed, ['executed', 'executed']);
});

test.serial('a handler that throws is answered as it would be without a guard, and not stored', async (t) => {
  const ledger = await openLedger(t, 'memory', {
    guard: OBSERVE,
    handlers: () => ({
      Append: () => {
        throw new Error('on purpose');
      },
    }),
  });
  t.is((await ledger.append('key')).code, status.UNKNOWN);
  await poll('the key is free', () => ledger.outcomes.did('release') === 1);
  t.deepEqual(ledger.outcomes.failures, []);
});

test.serial(
  'a handler that exceeds the execution limit continues, and its reply is not stored',
  async (t) => {
    const barrier = new Barrier();
    const ledger = await openLedger(t, 'memory', {
      guard: { ...OBSERVE, policies: policies({ leaseMs: 1_000, maxExecutionMs: 1_000 }) },
      handlers: () => onBoth((_account, callback) => barrier.pass().then(() => callback(null, {}))),
    });
    const call = ledger.append('key');
    await poll('the key is free', () => ledger.outcomes.did('release') === 1);
    barrier.open();
    t.is((await call).code, status.OK);
    t.is(ledger.outcomes.did('complete'), 0);
  },
);

test.serial('a claim that is granted after the client has disconnected is released', async (t) => {
  const [requested, granted, cancellations] = [new Barrier(), new Barrier(), new Cancellations()];
  class SlowStore extends PassingStore {
    override async claim(request: never): Promise<ClaimResult> {
      await requested.pass();
      const result = await super.claim(request);
      await granted.pass();
      return result;
    }
  }
  requested.open();
  const ledger = await openLedger(t, 'memory', {
    opened: opened(new SlowStore(new MemoryStore())),
    guard: OBSERVE,
    before: [cancellations.interceptor],
  });
  const client = new AbortController();
  const call = ledger.append('key', {}, { signal: client.signal });
  await granted.reached();
  client.abort();
  await call;
  await cancellations.noticed();
  granted.open();
  await poll('the key is free', () => ledger.outcomes.did('release') === 1);
  t.is(ledger.outcomes.did('complete'), 0);
});

test.serial('a store that does not answer delays a call briefly, and a late claim is released', async (t) => {
  const granted = new Barrier();
  class HangingStore extends PassingStore {
    override async claim(request: never): Promise<ClaimResult> {
      await granted.pass();
      return super.claim(request);
    }
  }
  const ledger = await openLedger(t, 'memory', {
    opened: opened(new HangingStore(new MemoryStore())),
    guard: { ...OBSERVE, storeTimeoutMs: 600_000 },
  });
  t.like(await ledger.append('key'), { code: status.OK });
  t.deepEqual(ledger.outcomes.observed, ['refused']);
  granted.open();
  await poll('the key is free', () => ledger.outcomes.did('release') === 1);
});

const faults: Record<string, (store: MemoryStore) => PassingStore> = {
  'a store that rejects': (store) =>
    new (class extends PassingStore {
      override async claim(): Promise<ClaimResult> {
        throw new Error('on purpose');
      }
    })(store),
  'a store that throws': (store) =>
    new (class extends PassingStore {
      override claim(): Promise<ClaimResult> {
        throw new Error('on purpose');
      }
    })(store),
  'a claim that cannot be ended': (store) =>
    new (class extends PassingStore {
      override async claim(request: never): Promise<ClaimResult> {
        const result = await super.claim(request);
        if (result.outcome !== 'claimed') return result;
        const fails = () => Promise.reject(new Error('on purpose'));
        return {
          ...result,
          claim: { ...result.claim, complete: fails, fail: fails, release: fails } as never,
        };
      }
    })(store),
};

for (const [what, storeOf] of Object.entries(faults)) {
  test.serial(`${what} changes neither the call nor the process`, async (t) => {
    const ledger = await openLedger(t, 'memory', {
      opened: opened(storeOf(new MemoryStore())),
      guard: OBSERVE,
    });
    for (const method of methods) t.is((await ledger.ask(method, 'key')).code, status.OK);
    await ledger.guard.close();
    await nextTurn();
    t.deepEqual(guardOnly.takeUnhandled(), []);
    t.is(ledger.entered, 2);
  });
}

test.serial(
  'a closing guard waits until replies are stored, and later calls run without being observed',
  async (t) => {
    const barrier = new Barrier();
    const ledger = await openLedger(t, 'memory', {
      guard: OBSERVE,
      handlers: () => onBoth((_account, callback) => barrier.pass().then(() => callback(null, {}))),
    });
    const call = ledger.append('key');
    await barrier.reached();
    let closed = false;
    const closing = ledger.guard.close().then(() => {
      closed = true;
    });
    const late = ledger.append('late');
    await barrier.reached(2);
    t.false(closed);
    barrier.open();
    t.deepEqual([(await call).code, (await late).code], [status.OK, status.OK]);
    await closing;
    t.is(ledger.outcomes.did('complete'), 1);
    t.deepEqual(ledger.outcomes.observed, ['executed']);
  },
);

test.serial(
  'keys of an earlier pepper are known, and a scope above its quota gets no new record',
  async (t) => {
    const store = new MemoryStore();
    const open = (guard: object) =>
      openLedger(t, 'memory', { opened: opened(store), guard: { ...OBSERVE, ...guard } });
    const before = await open({ pepper: 'one' });
    await before.append('key');
    await stored(before);
    const ledger = await open({
      pepper: { current: 'two', previous: ['one'] },
      quotas: { liveKeysPerScope: 1 },
    });
    await ledger.append('key');
    await ledger.append('another');
    t.deepEqual(ledger.outcomes.observed, ['replayed', 'refused']);
    t.is(ledger.entered, 2);
    t.is(await store.estimateRecords(), 1);
  },
);

function timers(): number {
  return process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
}

test.serial('no call leaks a timer', async (t: ExecutionContext) => {
  const ledger = await openLedger(t, 'memory', { guard: OBSERVE });
  await ledger.append('warm');
  await stored(ledger);
  const before = timers();
  for (let i = 0; i < 20; i++) await ledger.append(`key-${i}`);
  await stored(ledger, 21);
  await poll('all timers are cleared', () => timers() <= before, 5_000);
  t.pass();
});
