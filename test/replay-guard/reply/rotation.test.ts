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

// Of each rotation the settings before it, with it, and when all is forgotten that was before.
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
    test.serial(`${engine}, ${rotation}: what was stored is replayed`, async (t) => {
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
        // A key whose pepper is not known is another; a reply whose cipher key is not known is lost.
        if (rotation.includes('pepper') || rotation === 'of both')
          t.like(old, { code: status.OK, replayed: false });
        else assertRefused(t, old, status.DATA_LOSS, 'IDEMPOTENCY_REPLY_UNREADABLE');
      }
      t.is(rotated.entered, 2);
    });
  }

  test.serial(
    `${engine}: an execution from before the rotation is taken over as the same operation`,
    async (t) => {
      const data = await emptied(t, engine);
      const barrier = new Barrier();
      const [before, during] = rotations['of both'] ?? [];
      const dying = await openOrders(t, data, before, barrier);
      const first = dying.ledger.transfer('key', { from: 'alice' });
      await barrier.reached();
      const ids = await records(dying.ledger);
      await dying.ledger.database.query('UPDATE replay_guard_records SET lease_until = 0');
      const heir = await openOrders(t, data, during);
      t.like(await heir.ledger.transfer('key', { from: 'alice' }), { code: status.OK, replayed: false });
      t.true(heir.ledger.outcomes.takenOver[0]);
      t.deepEqual(heir.asked, dying.asked, 'it asks for the same things');
      t.is(heir.asked.length, 2);
      t.deepEqual(await records(heir.ledger), ids);
      barrier.open();
      t.is((await first).statusDetails?.errorInfo?.reason, 'IDEMPOTENCY_LEASE_LOST');
      t.like(await heir.ledger.transfer('key', { from: 'alice' }), { code: status.OK, replayed: true });
    },
  );
}

/** A ledger whose Transfer takes an id and calls another method; what it asked for is told. */
async function openOrders(t: ExecutionContext, data: DataSource, guard: Secrets = {}, barrier?: Barrier) {
  const asked: unknown[] = [];
  const ledger: Ledger = await openLedger(t, data, {
    guard,
    handlers: () => ({
      ...onBoth((_account, callback) => {
        asked.push(stableId('order'));
        const { path, requestSerialize, responseDeserialize } = ledger.definition.Close;
        ledger.connection.client.makeUnaryRequest(
          ...([path, requestSerialize, responseDeserialize, {}] as const),
          { interceptors: [createIdempotencyInterceptor()] },
          () => void Promise.resolve(barrier?.pass()).then(() => callback(null, {})),
        );
      }),
      Close: (call, callback) => {
        asked.push(call.metadata.get('idempotency-key')[0]);
        callback({ code: status.ABORTED });
      },
    }),
  });
  return { ledger, asked };
}

test('servers of either step of a rotation of the cipher key read what the other wrote', async (t) => {
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
  'an empty pepper of before': { pepper: { current: 'two', previous: [Buffer.alloc(0)] } },
  'a short cipher key': { cipherKey: Buffer.alloc(31) },
  'a short cipher key of before': { cipherKey: { current: one, previous: [Buffer.alloc(33)] } },
})) {
  test(`${what} is refused at start`, (t) => {
    const given = { store: new MemoryStore(), scope: singleTenant(), ...options };
    t.throws(() => createReplayGuard(given), { instanceOf: TypeError });
  });
}
