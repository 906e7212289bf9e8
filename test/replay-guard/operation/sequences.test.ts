import { status } from '@grpc/grpc-js';
import test from 'ava';
import { type ReplayGuardOptions, scopeFromMetadata, stableId } from 'grpc-replay-guard';
import type { CallSettings } from '../../helpers/calls/call.js';
import { sequenceSettings } from '../../helpers/calls/sequence-settings.js';
import { emptiedData } from '../../helpers/databases/emptied-data.js';
import { engines } from '../../helpers/databases/engines.js';
import { type Ledger, methods, onBoth, openLedger } from '../../helpers/servers/guarded-ledger.js';
import { openEarlierServer } from '../../helpers/stores/version-0-1.js';

const emptied = emptiedData(test);
const [one, two] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)];

const append = (ledger: Ledger, sequence: number, epoch?: number, producer = 'producer') =>
  ledger.append(undefined, { account: 'alice' }, sequenceSettings(producer, sequence, epoch));
const both = {
  append: (ledger: Ledger, settings: CallSettings) => ledger.append(undefined, { account: 'a' }, settings),
  transfer: (ledger: Ledger, settings: CallSettings) => ledger.transfer(undefined, { from: 'a' }, settings),
};
const reasonOf = ({ statusDetails }: Awaited<ReturnType<typeof append>>) => statusDetails?.errorInfo?.reason;

/** The guard's options before and during a rotation of secrets. */
const rotations: Record<string, readonly Pick<ReplayGuardOptions, 'pepper' | 'cipherKey'>[]> = {
  'of the pepper': [{ pepper: 'one' }, { pepper: { current: 'two', previous: ['zero', 'one'] } }],
  'from no pepper to one': [{}, { pepper: { current: 'two', previous: [null] } }],
  'of the cipher key': [{ cipherKey: one }, { cipherKey: { current: two, previous: [one] } }],
  'of both': [
    { pepper: 'one', cipherKey: one },
    { pepper: { current: 'two', previous: ['one'] }, cipherKey: { current: two, previous: [one] } },
  ],
};

for (const engine of engines) {
  for (const [rotation, [before = {}, during = {}]] of Object.entries(rotations)) {
    test.serial(`${engine}, rotation ${rotation}: a series continues under its old id`, async (t) => {
      const data = await emptied(t, engine);
      const old = await openLedger(t, data, { guard: before });
      const kept = [await append(old, 0), await append(old, 1)];
      const rotated = await openLedger(t, data, { guard: during });
      for (const [sequence, { bytes }] of kept.entries())
        t.like(await append(rotated, sequence), { bytes, replayed: true });
      const next = await append(rotated, 2);
      t.like(next, { code: status.OK, replayed: false });
      t.like(await append(rotated, 2), { bytes: next.bytes, replayed: true });
      t.is(reasonOf(await append(rotated, 4)), 'IDEMPOTENCY_SEQUENCE_GAP');
      t.is(reasonOf(await append(rotated, 0, 1)), undefined);
      t.is(reasonOf(await append(rotated, 3)), 'IDEMPOTENCY_PRODUCER_FENCED');
      const rows = await rotated.database.query('SELECT epoch FROM replay_guard_producers');
      t.deepEqual(rows, [{ epoch: 1n }]);
      t.is((await rotated.effects()).length, 4);
    });
  }

  test.serial(
    `${engine}: an encrypted reply is readable only in the record of its own producer`,
    async (t) => {
      const ledger = await openLedger(t, await emptied(t, engine), { guard: { cipherKey: one } });
      const { database } = ledger;
      for (const producer of ['first', 'second'])
        for (const sequence of [0, 1]) await append(ledger, sequence, undefined, producer);
      const [first, second] = await database.query('SELECT id, replies FROM replay_guard_producers');
      const move = 'UPDATE replay_guard_producers SET replies = $1 WHERE id = $2';
      await database.query(move, [first?.replies ?? null, second?.id ?? null]);
      await database.query(move, [second?.replies ?? null, first?.id ?? null]);
      for (const producer of ['first', 'second'])
        t.is(reasonOf(await append(ledger, 1, undefined, producer)), 'IDEMPOTENCY_REPLY_UNREADABLE');
      t.is((await ledger.effects()).length, 4);
    },
  );

  test.serial(
    `${engine}: the database contains no producer, scope, request or reply in clear text`,
    async (t) => {
      const secrets = { pepper: 'pepper', cipherKey: one, scope: scopeFromMetadata('x-scope') };
      const ledger = await openLedger(t, await emptied(t, engine), { guard: secrets });
      const [producer, scope, account] = [
        'the producer that makes it',
        'the scope of it',
        'the account in it',
      ];
      const { metadata } = sequenceSettings(producer.replaceAll(' ', '-'), 0);
      const reply = await ledger.append(
        undefined,
        { account },
        { metadata: { ...metadata, 'x-scope': scope } },
      );
      const [row] = await ledger.database.query('SELECT * FROM replay_guard_producers');
      const values = Object.values(row ?? {}).map((value) =>
        Buffer.isBuffer(value) ? value : Buffer.from(String(value)),
      );
      t.true(values.length > 10);
      for (const secret of [producer.replaceAll(' ', '-'), scope, account, String(reply.message?.entryId)])
        t.false(Buffer.concat(values).includes(secret), secret);
    },
  );

  test.serial(`${engine}: a database of a version without series is migrated`, async (t) => {
    const data = await emptied(t, engine);
    const old = await openLedger(t, data);
    const kept = await old.append('key', { account: 'alice' });
    const columns = 'id, fingerprint, scope, state, expires_at, reply';
    const [row] = await old.database.query(`SELECT ${columns} FROM replay_guard_records`);
    for (const text of [
      'DROP TABLE replay_guard_records',
      'DROP TABLE replay_guard_producers',
      "DELETE FROM replay_guard_schema WHERE component = 'grpc-replay-guard'",
    ])
      await old.database.query(text);
    const earlier = await openEarlierServer(t, data.url);
    await earlier.migrate({ series: false });
    const insert = `INSERT INTO replay_guard_records (${columns}) VALUES ($1, $2, $3, $4, $5, $6)`;
    await old.database.query(insert, Object.values(row ?? {}));
    const ledger = await openLedger(t, data);
    t.like(await ledger.append('key', { account: 'alice' }), { bytes: kept.bytes, replayed: true });
    t.is((await append(ledger, 0)).code, status.OK);
    t.true((await append(ledger, 0)).replayed);
  });
}

test('stable ids depend on producer, epoch and sequence', async (t) => {
  const ids: string[] = [];
  const ledger = await openLedger(t, 'memory', {
    handlers: () =>
      onBoth((_account, callback) => {
        ids.push(stableId('order'));
        // UNAVAILABLE releases the claim, so the same position executes again.
        callback({ code: status.UNAVAILABLE });
      }),
  });
  const positions = [
    sequenceSettings('p', 0),
    sequenceSettings('p', 0),
    sequenceSettings('p', 1),
    sequenceSettings('p', 0, 1),
    sequenceSettings('q', 0),
  ];
  for (const method of methods) for (const position of positions) await both[method](ledger, position);
  t.is(ids.length, 10);
  t.is(ids[0], ids[1]);
  t.is(new Set(ids).size, 8);
});
