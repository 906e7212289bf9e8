import { Metadata, status } from '@grpc/grpc-js';
import test from 'ava';
import { statusDetails } from 'grpc-replay-guard';
import { emptiedData } from '../helpers/emptied-data.js';
import { engines } from '../helpers/engines.js';
import { methods, onBoth, openLedger, writeEffect } from '../helpers/guarded-ledger.js';
import { assertRefused } from '../helpers/refused.js';

const emptied = emptiedData(test);
const source = async (t: Parameters<typeof emptied>[0], engine: (typeof everywhere)[number]) =>
  engine === 'memory' ? engine : emptied(t, engine);
const everywhere = [...engines, 'memory'] as const;
const metadata = (entries: Record<string, string | Buffer>) => {
  const made = new Metadata();
  for (const [name, value] of Object.entries(entries)) made.set(name, value);
  return made;
};
const day = 24 * 60 * 60 * 1_000;

for (const engine of everywhere) {
  test.serial(`${engine}: a duplicate gets the first reply's bytes`, async (t) => {
    const ledger = await openLedger(t, await source(t, engine));
    for (const method of methods) {
      const before = Date.now();
      const first = await ledger.ask(method, 'key', 'alice');
      const duplicates = [await ledger.ask(method, 'key', 'alice'), await ledger.ask(method, 'key', 'alice')];
      t.like(first, { code: status.OK, replayed: false });
      t.true((first.bytes?.length ?? 0) > 30);
      t.deepEqual(first.trailers.get('idempotent-replayed'), []);
      const [expiry] = first.trailers.get('idempotency-expires-at');
      t.regex(String(expiry), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
      t.true(Math.abs(Date.parse(String(expiry)) - before - day) < 60_000);
      for (const duplicate of duplicates) {
        t.like(duplicate, { code: status.OK, replayed: true });
        t.deepEqual(duplicate.bytes, first.bytes);
        t.deepEqual(duplicate.trailers.get('idempotent-replayed'), ['true']);
        t.deepEqual(duplicate.trailers.get('idempotency-expires-at'), [String(expiry)]);
      }
    }
    t.is(ledger.entered, 2);
    if (engine !== 'memory') t.deepEqual(await ledger.effects(), ['alice', 'alice']);
    t.deepEqual(ledger.outcomes.ended, [
      'executed',
      'replayed',
      'replayed',
      'executed',
      'replayed',
      'replayed',
    ]);
  });

  test.serial(`${engine}: an empty message is a reply`, async (t) => {
    const ledger = await openLedger(t, await source(t, engine));
    const touch = () => ledger.connection.call(ledger.definition.Touch, {}, { key: 'key' });
    t.like(await touch(), { code: status.OK, bytes: Buffer.alloc(0), replayed: false });
    t.like(await touch(), { code: status.OK, bytes: Buffer.alloc(0), replayed: true });
    t.is(ledger.entered, 1);
  });

  test.serial(
    `${engine}: the handler's metadata comes back, what belongs to one call does not`,
    async (t) => {
      const given = {
        ...{ 'x-kept': 'a b', 'x-kept-bin': Buffer.from([0, 255, 10]) },
        ...{ authorization: 'Bearer t', 'set-cookie': 'a=b', 'grpc-other': 'x' },
      };
      const ledger = await openLedger(t, await source(t, engine), {
        handlers: () =>
          onBoth((_account, callback, call) => {
            call.sendMetadata(metadata(given));
            const own = { 'idempotent-replayed': 'false', 'idempotency-expires-at': 'never' };
            callback(null, { entryId: 'id' }, metadata({ ...given, ...own }));
          }),
      });
      const first = await ledger.append('key');
      const replay = await ledger.append('key');
      for (const seen of [first.initial, first.trailers, replay.initial, replay.trailers]) {
        t.deepEqual(seen?.get('x-kept'), ['a b']);
        t.deepEqual(seen?.get('x-kept-bin'), [Buffer.from([0, 255, 10])]);
      }
      for (const seen of [replay.initial, replay.trailers]) {
        for (const name of ['authorization', 'set-cookie', 'grpc-other'])
          t.deepEqual(seen?.get(name), [], name);
      }
      t.deepEqual(replay.trailers.get('idempotent-replayed'), ['true']);
      const expiry = first.trailers.get('idempotency-expires-at');
      t.not(String(expiry), 'never');
      t.deepEqual(replay.trailers.get('idempotency-expires-at'), expiry);
      t.false(first.replayed);
    },
  );

  test.serial(`${engine}: a business failure comes back with its details and trailers`, async (t) => {
    const details = statusDetails(status.NOT_FOUND, 'no such account', [
      { errorInfo: { reason: 'NO_ACCOUNT', domain: 'test', metadata: { account: 'alice' } } },
    ]);
    const ledger = await openLedger(t, await source(t, engine), {
      handlers: (database) =>
        onBoth(async (account, callback) => {
          if (engine !== 'memory') await writeEffect(database, account);
          const trailers = metadata({ 'x-why': 'because', 'grpc-status-details-bin': details });
          callback({ code: status.NOT_FOUND, details: 'no such äccount', metadata: trailers });
        }),
    });
    for (const method of methods) {
      for (const replayed of [false, true, true]) {
        const reply = await ledger.ask(method, 'key', 'alice');
        t.like(reply, { code: status.NOT_FOUND, details: 'no such äccount', replayed });
        t.deepEqual(reply.trailers.get('grpc-status-details-bin'), [details]);
        t.deepEqual(reply.trailers.get('x-why'), ['because']);
        t.is(reply.trailers.get('idempotency-expires-at').length, 1);
      }
    }
    t.is(ledger.entered, 2);
    if (engine !== 'memory') t.deepEqual(await ledger.effects(), []);
  });

  test.serial(`${engine}: a key with another payload is refused, and tells nothing`, async (t) => {
    const ledger = await openLedger(t, await source(t, engine));
    for (const method of methods) {
      await ledger.ask(method, 'key', 'secret-account');
      const reused = await ledger.ask(method, 'key', 'other');
      assertRefused(t, reused, status.FAILED_PRECONDITION, 'IDEMPOTENCY_KEY_REUSED');
      const packed = String(reused.trailers.get('grpc-status-details-bin')[0]);
      const told = JSON.stringify([reused.details, reused.trailers.toJSON(), reused.statusDetails]);
      t.notRegex(told + packed, /secret/);
      t.like(await ledger.ask(method, 'key', 'secret-account'), { code: status.OK, replayed: true });
    }
    t.is(ledger.entered, 2);
    t.is(ledger.outcomes.count('reused'), 2);
  });
}

test.serial('a key is new again when its retention is over', async (t) => {
  let now = Date.now();
  const ledger = await openLedger(t, 'memory', {
    engine: { clock: () => now },
    guard: { ttlMs: 60_000 },
  });
  const first = await ledger.append('key', { account: 'alice' });
  now += 59_999;
  t.deepEqual((await ledger.append('key', { account: 'alice' })).bytes, first.bytes);
  now += 1;
  t.like(await ledger.append('key', { account: 'bob' }), { code: status.OK, replayed: false });
  t.is(ledger.entered, 2);
});
