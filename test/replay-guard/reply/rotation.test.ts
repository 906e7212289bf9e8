import { status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { createReplayGuard, type ReplayGuardOptions, singleTenant, stableId } from 'grpc-replay-guard';
import { createIdempotencyInterceptor } from 'grpc-replay-guard/client';
import { MemoryStore } from 'grpc-replay-guard/memory';
import type { OpenStore } from 'grpc-replay-guard/store';
import { assertRefused } from '../../helpers/calls/assert-refused.js';
import { emptiedData } from '../../helpers/databases/emptied-data.js';
import { type DataSource, engines } from '../../helpers/databases/engines.js';
import { type Ledger, methods, onBoth, openLedger } from '../../helpers/servers/guarded-ledger.js';
import { Barrier } from '../../helpers/waiting/barrier.js';

const emptied = emptiedData(test);
const [one, two] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)];

type Secrets = Pick<ReplayGuardOptions, 'pepper' | 'cipherKey'>;

// For each rotation: the settings before the rotation, during the rotation, and without the earlier secrets.
const rotations: Record<string, readonly [Secrets, Secrets, Secrets]> = {
  'of the pepper': [{ pepper: 'one' }, { pepper: { current: 'two', previous: ['one'] } }, { pepper: 'two' }],
  'from no pepper to one': [{}, { pepper: { current: 'two', previous: [null] } }, { pepper: 'two' }],
  'of the cipher key': [
    { cipherKey: one },
    { cipherKey: { current: two, previous: [one] } },
    { cipherKey: two },
  ],
  'from no cipher to one': [
    {},
    { cipherKey: { current: two, readsPlaintext: true } },
    { cipherKey: { current: two } },
  ],
  'of both': [
    { pepper: 'one', cipherKey: one },
    {
      pepper: { current: 'two', previous: ['zero', 'one'] },
      cipherKey: { current: two, previous: [Buffer.alloc(32), one] },
    },
    { pepper: 'two', cipherKey: two },
  ],
};

const records = async ({ database }: Ledger) =>
  (await database.query('SELECT id FROM replay_guard_records')).map(({ id }) => String(id));

for (const engine of engines) {
  for (const [rotation, [before, during, after]] of Object.entries(rotations)) {
    test.serial(
      `${engine}, rotation ${rotation}: replies from before the rotation are replayed`,
      async (t) => {
        const data = await emptied(t, engine);
        const open = (guard: Secrets) => openLedger(t, data, { guard });
        const old = await open(before);
        const kept = new Map<string, Buffer | undefined>();
        for (const method of methods) kept.set(method, (await old.ask(method, 'old', 'alice')).bytes);
        const rotated = await open(during);
        for (const method of methods) {
          t.like(await rotated.ask(method, 'old', 'alice'), { bytes: kept.get(method), replayed: true });
          t.is((await rotated.ask(method, 'old', 'bob')).code, status.FAILED_PRECONDITION);
          kept.set(method, (await rotated.ask(method, 'new', 'alice')).bytes);
          t.like(await rotated.ask(method, 'new', 'alice'), { bytes: kept.get(method), replayed: true });
        }
        t.is((await records(rotated)).length, 4);
        const forgotten = await open(after);
        for (const method of methods) {
          t.like(await forgotten.ask(method, 'new', 'alice'), { bytes: kept.get(method), replayed: true });
          const old = await forgotten.ask(method, 'old', 'alice');
          // Without its pepper a key is unknown. Without its cipher key a reply cannot be read.
          if (rotation.includes('pepper') || rotation === 'of both')
            t.like(old, { code: status.OK, replayed: false });
          else assertRefused(t, old, status.DATA_LOSS, 'IDEMPOTENCY_REPLY_UNREADABLE');
        }
        t.is(rotated.entered, 2);
      },
    );
  }

  test.serial(
    `${engine}: after a rotation an earlier execution is taken over as the same operation`,
    async (t) => {
      const data = await emptied(t, engine);
      const barrier = new Barrier();
      const [before, during] = rotations['of both'] ?? [];
      const crashed = await openOrders(t, data, before, barrier);
      const first = crashed.ledger.transfer('key', { from: 'alice' });
      await barrier.reached();
      const ids = await records(crashed.ledger);
      await crashed.ledger.database.query('UPDATE replay_guard_records SET lease_until = 0');
      const successor = await openOrders(t, data, during);
      t.like(await successor.ledger.transfer('key', { from: 'alice' }), { code: status.OK, replayed: false });
      t.true(successor.ledger.outcomes.takenOver[0]);
      t.deepEqual(successor.used, crashed.used, 'both executions use the same id and key');
      t.is(successor.used.length, 2);
      t.deepEqual(await records(successor.ledger), ids);
      barrier.open();
      t.is((await first).statusDetails?.errorInfo?.reason, 'IDEMPOTENCY_LEASE_LOST');
      t.like(await successor.ledger.transfer('key', { from: 'alice' }), { code: status.OK, replayed: true });
    },
  );
}

/** A ledger whose Transfer makes a stable id and calls another method. Also returns the ids and keys. */
async function openOrders(t: ExecutionContext, data: DataSource, guard: Secrets = {}, barrier?: Barrier) {
  const used: unknown[] = [];
  const ledger: Ledger = await openLedger(t, data, {
    guard,
    handlers: () => ({
      ...onBoth((_account, callback) => {
        used.push(stableId('order'));
        const { path, requestSerialize, responseDeserialize } = ledger.definition.Close;
        ledger.connection.client.makeUnaryRequest(
          ...([path, requestSerialize, responseDeserialize, {}] as const),
          { interceptors: [createIdempotencyInterceptor()] },
          () => void Promise.resolve(barrier?.pass()).then(() => callback(null, {})),
        );
      }),
      Close: (call, callback) => {
        used.push(call.metadata.get('idempotency-key')[0]);
        callback({ code: status.ABORTED });
      },
    }),
  });
  return { ledger, used };
}

test('servers before and after a rotation of the cipher key read the replies of each other', async (t) => {
  const opened = { store: new MemoryStore() } as unknown as OpenStore;
  const servers = [
    await openLedger(t, 'memory', { opened, guard: { cipherKey: { current: one, previous: [two] } } }),
    await openLedger(t, 'memory', { opened, guard: { cipherKey: { current: two, previous: [one] } } }),
  ];
  for (const writer of servers) {
    const key = `key-${servers.indexOf(writer)}`;
    const { bytes } = await writer.append(key);
    for (const reader of servers) t.like(await reader.append(key), { bytes, replayed: true });
  }
});

for (const [what, options] of Object.entries({
  'an empty pepper': { pepper: '' },
  'an empty previous pepper': { pepper: { current: 'two', previous: [Buffer.alloc(0)] } },
  'a missing pepper': { pepper: { current: null } },
  'a pepper that is named twice': { pepper: { current: 'two', previous: ['one', Buffer.from('two')] } },
  'an empty next pepper': { pepper: { current: 'two', next: '' } },
  'an unknown cover': { pepper: { current: 'two', covers: 'all' as 'keys' } },
  'a short cipher key': { cipherKey: Buffer.alloc(31) },
  'a previous cipher key of the wrong length': { cipherKey: { current: one, previous: [Buffer.alloc(33)] } },
})) {
  test(`${what} is refused at start`, (t) => {
    const given = { store: new MemoryStore(), scope: singleTenant(), ...options };
    t.throws(() => createReplayGuard(given), { instanceOf: TypeError });
  });
}
