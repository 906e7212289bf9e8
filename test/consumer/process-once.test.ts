import { status } from '@grpc/grpc-js';
import test from 'ava';
import {
  createConsumer,
  MessageInvalidError,
  type MessageName,
  processOnce,
} from 'grpc-replay-guard/consumer';
import { CommitInDoubtError, DatabaseUnavailableError } from 'grpc-replay-guard/database';
import { emptiedData } from '../helpers/databases/emptied-data.js';
import { engines } from '../helpers/databases/engines.js';
import { transactionsEnded } from '../helpers/databases/open-transactions.js';
import { openUrl } from '../helpers/databases/open-url.js';
import { startProxy } from '../helpers/proxies/postgres-proxy.js';
import { methods, onBoth, openLedger, writeEffect } from '../helpers/servers/guarded-ledger.js';
import { Barrier } from '../helpers/waiting/barrier.js';
import { poll } from '../helpers/waiting/poll.js';
import { named, openReceiver } from './receiver.js';

const emptied = emptiedData(test);

for (const engine of engines) {
  test.serial(
    `${engine}: the first delivery of a message is processed, and later deliveries are duplicates`,
    async (t) => {
      const data = await emptied(t, engine);
      const { consumer, database } = await openReceiver(t, data);
      const work = async () => 'receipt';
      t.deepEqual(await consumer.processOnce(named('m'), work), { outcome: 'processed', value: 'receipt' });
      const never = () => t.fail() as never;
      t.deepEqual(await consumer.processOnce(named('m'), never), { outcome: 'duplicate' });
      t.deepEqual(await processOnce(database, named('m'), never), { outcome: 'duplicate' });
      const restarted = await openReceiver(t, data);
      t.is(await restarted.deliver('m'), 'duplicate');
    },
  );

  test.serial(
    `${engine}: messages with a different consumer, scope or id are different messages`,
    async (t) => {
      const { deliver, effects } = await openReceiver(t, await emptied(t, engine));
      const messages: MessageName[] = [
        { consumer: 'c', scope: 's', messageId: 'm' },
        { consumer: 'c', scope: 's', messageId: 'M' },
        { consumer: 'c', scope: 'other', messageId: 'm' },
        { consumer: 'other', scope: 's', messageId: 'm' },
        { consumer: 's', scope: 'c', messageId: 'm' },
        { consumer: 'c', scope: 'ab', messageId: 'm' },
        { consumer: 'bc', scope: 'a', messageId: 'm' },
        { consumer: 'b', scope: 'a', messageId: 'cm' },
        { consumer: 'c', scope: 's', messageId: '\u00e9' },
        { consumer: 'c', scope: 's', messageId: 'e\u0301' },
      ];
      for (const message of messages) t.is(await deliver(message), 'processed', JSON.stringify(message));
      for (const message of messages) t.is(await deliver(message), 'duplicate', JSON.stringify(message));
      t.is((await effects()).length, messages.length);
    },
  );

  test.serial(`${engine}: work that throws is rolled back, and the next delivery is processed`, async (t) => {
    const { deliver, effects, recorded, database } = await openReceiver(t, await emptied(t, engine));
    const thrown = new Error('failed on purpose');
    const fail = () => {
      throw thrown;
    };
    t.is(await t.throwsAsync(deliver('m', { before: fail })), thrown);
    t.is(await t.throwsAsync(deliver('m', { after: fail })), thrown);
    const wrong = () => database.query('INSERT INTO nowhere VALUES (1)').catch(() => {});
    await t.throwsAsync(deliver('m', { after: wrong }), { name: 'UnitOfWorkError' });
    t.deepEqual([await effects(), await recorded()], [[], 0]);
    t.is(await deliver('m'), 'processed');
    t.deepEqual(await effects(), ['m']);
  });

  test.serial(
    `${engine}: deliveries during the processing of a message are not reported as duplicates`,
    async (t) => {
      const data = await emptied(t, engine);
      const first = await openReceiver(t, data);
      const others = [first, await openReceiver(t, data)];
      for (const fails of [false, true]) {
        const barrier = new Barrier();
        const hold = async () => {
          await barrier.pass();
          if (fails) throw new Error('failed on purpose');
        };
        const message = `fails: ${fails}`;
        const held = first.deliver(message, { after: hold });
        await barrier.reached();
        const later = (error: Error) => {
          t.true(error instanceof DatabaseUnavailableError);
          return error.name;
        };
        const waiting = others.map((other) => other.deliver(message).catch(later));
        const early: string[] = [];
        for (const delivery of waiting) void delivery.then((outcome) => early.push(outcome));
        // On SQLite, a delivery through the same handle waits in the queue of the writer, without a time
        // limit.
        await poll(
          'the lock timeout of the other deliveries',
          () => early.length === (engine === 'sqlite' ? 1 : 2),
        );
        t.deepEqual(
          new Set(early),
          new Set([engine === 'sqlite' ? 'LockTimeoutError' : 'MessageInProgressError']),
        );
        barrier.open();
        if (fails) await t.throwsAsync(held);
        else await held;
        if (engine === 'sqlite') t.is(await waiting[0], fails ? 'processed' : 'duplicate');
        for (const other of others) t.regex(await other.deliver(message), /^(processed|duplicate)$/);
      }
      t.deepEqual(await first.effects(), ['fails: false', 'fails: true']);
    },
  );

  test.serial(
    `${engine}: a waiting delivery is processed if the first delivery fails, and is a duplicate otherwise`,
    async (t) => {
      const data = await emptied(t, engine);
      const patient = { engine: { lockTimeoutMs: 60_000 } };
      const [first, second] = [await openReceiver(t, data, patient), await openReceiver(t, data, patient)];
      for (const [message, outcome] of [
        ['kept', 'duplicate'],
        ['lost', 'processed'],
      ] as const) {
        const barrier = new Barrier();
        const hold = async () => {
          await barrier.pass();
          if (message === 'lost') throw new Error('failed on purpose');
        };
        const held = first.deliver(message, { after: hold });
        await barrier.reached();
        const waiting = second.deliver(message);
        barrier.open();
        await held.catch(() => {});
        t.is(await waiting, outcome);
      }
      t.deepEqual(await first.effects(), ['kept', 'lost']);
    },
  );

  test.serial(`${engine}: a failed commit rejects every delivery of its transaction`, async (t) => {
    const { deliver, database, recorded } = await openReceiver(t, await emptied(t, engine));
    await database.migrate('parts', [
      'CREATE TABLE wholes (id BIGINT PRIMARY KEY)',
      'CREATE TABLE parts (whole BIGINT REFERENCES wholes (id) DEFERRABLE INITIALLY DEFERRED)',
    ]);
    // The deferred constraint fails at COMMIT. On SQLite both deliveries share the COMMIT.
    const orphan = () => database.query('INSERT INTO parts (whole) VALUES (7)');
    const results = await Promise.allSettled([
      deliver('m', { after: orphan }),
      deliver('m', { after: orphan }),
    ]);
    t.deepEqual(
      results.map(({ status }) => status),
      ['rejected', 'rejected'],
    );
    t.is(await recorded(), 0);
  });

  test.serial(`${engine}: processOnce inside a transaction commits and rolls back with it`, async (t) => {
    const receiver = await openReceiver(t, await emptied(t, engine));
    const { deliver, database, effects } = receiver;
    const undone = database.transaction(async () => {
      t.is(await deliver('m'), 'processed');
      t.is(await deliver('m'), 'duplicate');
      await t.throwsAsync(
        deliver('n', { after: () => Promise.reject(new Error('no')) }),
        { message: 'no' },
        'the outer transaction continues',
      );
      t.deepEqual(await effects(), ['m']);
      throw new Error('outer');
    });
    await t.throwsAsync(undone, { message: 'outer' });
    t.deepEqual(await effects(), []);
    await database.transaction(async () => {
      t.deepEqual(await Promise.all(['m', 'm', 'n'].map((message) => deliver(message))), [
        'processed',
        'duplicate',
        'processed',
      ]);
    });
    t.deepEqual(await effects(), ['m', 'n']);
    t.is(await deliver('n'), 'duplicate');
  });

  test.serial(
    `${engine}: a message that is processed inside another message commits with the other message`,
    async (t) => {
      const { deliver, effects } = await openReceiver(t, await emptied(t, engine));
      const both = (fails: boolean) =>
        deliver('outer', {
          before: async () => {
            await deliver('inner');
            if (fails) throw new Error('no');
          },
        });
      await t.throwsAsync(both(true), { message: 'no' });
      t.deepEqual(await effects(), []);
      t.is(await both(false), 'processed');
      t.deepEqual(await effects(), ['inner', 'outer']);
    },
  );

  test.serial(
    `${engine}: a message with a malformed name is refused, and its work is not called`,
    async (t) => {
      const receiver = await openReceiver(t, await emptied(t, engine));
      const good = { consumer: 'c', scope: 's', messageId: 'm' };
      const bad: unknown[] = ['', undefined, null, 7, ['m'], '\ud800', 'x\udc00y'];
      const refused = [...bad, 'x'.repeat(1025)].flatMap((value) => [
        { ...good, messageId: value },
        { ...good, scope: value },
        { ...good, consumer: value },
      ]);
      for (const message of [...refused, { ...good, consumer: 'x'.repeat(101) }]) {
        const delivered = receiver.deliver(message as MessageName);
        await t.throwsAsync(delivered, { instanceOf: MessageInvalidError }, JSON.stringify(message));
      }
      t.deepEqual([receiver.entered, await receiver.recorded()], [0, 0]);
      const maximal = {
        consumer: 'x'.repeat(100),
        scope: 'x'.repeat(1024),
        messageId: '\u{1f418}'.repeat(512),
      };
      t.is(await receiver.deliver(maximal), 'processed');
    },
  );

  test.serial(
    `${engine}: the record of a message has 16 bytes and an expiry, and no plain text`,
    async (t) => {
      const clock = () => 1_000_000;
      const options = { clock, retentionMs: 60_000 };
      const { deliver, database } = await openReceiver(t, await emptied(t, engine), { options });
      await deliver({ consumer: 'receiver', scope: 'alice', messageId: 'secret'.repeat(100) });
      const [row] = await database.query<{ id: Buffer }>('SELECT * FROM replay_guard_messages');
      t.deepEqual(row, { id: row?.id as Buffer, expires_at: 1_060_000n });
      t.is(row?.id.length, 16);
    },
  );

  for (const method of methods) {
    test.serial(
      `${engine}, ${method}: a message in a guarded call commits with the reply or not at all`,
      async (t) => {
        const data = await emptied(t, engine);
        const consumer = await createConsumer({ database: (await data.open()).database });
        t.teardown(() => consumer.close());
        const outcomes: string[] = [];
        const ledger = await openLedger(t, data, {
          handlers: (database) => {
            const joined = createConsumer({ database });
            t.teardown(async () => (await joined).close());
            return onBoth(async (account, callback) => {
              const work = () => writeEffect(database, account);
              outcomes.push((await (await joined).processOnce(named('m'), work)).outcome);
              if (account === 'fails') callback({ code: status.UNAVAILABLE });
              else callback(null, {});
            });
          },
        });
        t.is((await ledger.ask(method, 'a', 'fails')).code, status.UNAVAILABLE);
        t.deepEqual(await ledger.effects(), []);
        t.is((await ledger.ask(method, 'b', 'alice')).code, status.OK);
        t.is((await ledger.ask(method, 'c', 'bob')).code, status.OK);
        t.deepEqual(await ledger.effects(), ['alice']);
        t.deepEqual(outcomes, ['processed', 'processed', 'duplicate']);
        const never = () => t.fail() as never;
        t.deepEqual(await consumer.processOnce(named('m'), never), { outcome: 'duplicate' });
      },
    );
  }
}

for (const when of ['before', 'after'] as const) {
  test.serial(
    `postgres: after a connection loss ${when} the COMMIT, the next delivery finds the outcome`,
    async (t) => {
      const data = await emptied(t, 'postgres');
      const proxy = await startProxy(t, data.url);
      const opened = await openUrl(proxy.url);
      t.teardown(opened.close);
      const { deliver, effects } = await openReceiver(t, data, { database: opened.database });
      await deliver('warm');
      proxy.cutAt(/^COMMIT/, when);
      await t.throwsAsync(deliver('m'), { instanceOf: CommitInDoubtError });
      await transactionsEnded((await data.open()).database);
      t.is(await deliver('m'), when === 'after' ? 'duplicate' : 'processed');
      t.deepEqual(await effects(), ['m', 'warm']);
    },
  );
}

test.serial('postgres: a delivery costs one transaction and one statement besides its work', async (t) => {
  const data = await emptied(t, 'postgres');
  const proxy = await startProxy(t, data.url);
  const opened = await openUrl(proxy.url);
  t.teardown(opened.close);
  const { deliver } = await openReceiver(t, data, { database: opened.database });
  await deliver('warm');
  proxy.reset();
  await deliver('m');
  t.deepEqual(
    proxy.statements.map((text) => text.trim().split(/\s+/).slice(0, 3).join(' ')),
    ['BEGIN ISOLATION LEVEL', 'INSERT INTO replay_guard_messages', 'INSERT INTO effects', 'COMMIT'],
  );
});
