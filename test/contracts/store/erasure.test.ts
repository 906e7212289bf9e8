import { randomUUID } from 'node:crypto';
import test, { type ExecutionContext } from 'ava';
import type { ClaimRequest } from 'grpc-replay-guard/store';
import { claimed, completed, digest, hour, inProgress, minute, reply, request } from './requests.js';
import { type StoreSubject, storeNames, storeSubjects } from './store-subject.js';

const subjects = storeSubjects(test);

// An erased record has one purpose: it prevents a second execution of its key.
for (const name of storeNames) {
  const it = (title: string, check: (t: ExecutionContext, subject: StoreSubject) => Promise<void>) =>
    test.serial(`${name}: ${title}`, async (t) => check(t, await subjects(t, name)));

  const keep = async (t: ExecutionContext, { store }: StoreSubject, changes: Partial<ClaimRequest> = {}) => {
    const operation = request(changes);
    await claimed(t, await store.claim(operation)).complete(reply('secret'));
    return operation;
  };

  for (const atomicity of ['LEASE', 'TRANSACTION'] as const) {
    it(`${atomicity}: no server executes an erased key again`, async (t, subject) => {
      const { store, other, now, advance } = subject;
      const operation = await keep(t, subject, { atomicity });
      const erased = { outcome: 'erased', expiresAtMs: now() + hour } as const;
      t.is((await other.erase('tenant', 10)).erased, 1);
      await advance(30 * minute);
      for (const server of [store, other]) {
        t.deepEqual(await server.claim(operation), erased);
        t.deepEqual(await server.claim({ ...operation, fingerprint: digest('changed') }), erased);
        // The fingerprint of an erased record must not match a payload.
        t.deepEqual(await server.claim({ ...operation, fingerprint: Buffer.alloc(32) }), erased);
        t.deepEqual(await server.find(operation), erased);
      }
    });
  }

  it('an erasure affects one scope, up to its limit', async (t, subject) => {
    const { store } = subject;
    const others = [await keep(t, subject, { scope: 'other' }), await keep(t, subject, { scope: 'tenant2' })];
    for (let index = 0; index < 5; index++) await keep(t, subject);
    t.deepEqual(
      [await store.erase('tenant', 2), await store.erase('tenant', 2)].map(({ erased }) => erased),
      [2, 2],
    );
    t.is(await store.countLive('tenant', 10), 1);
    t.is((await store.erase('tenant', 10)).erased, 1);
    t.is((await store.erase('tenant', 10)).erased, 0, 'no record is erased twice');
    t.is((await store.erase('nobody', 10)).erased, 0);
    t.is(await store.countLive('tenant', 10), 0);
    for (const operation of others) {
      t.deepEqual(completed(t, await store.claim(operation)).reply, reply('secret'));
      t.is(await store.countLive(operation.scope, 10), 1);
    }
  });

  it('a run of batches erases each record once', async (t, subject) => {
    const { store } = subject;
    for (let index = 0; index < 5; index++) await keep(t, subject);
    for (let index = 0; index < 2; index++)
      await keep(t, subject, { series: { id: digest(randomUUID()), epoch: 0n, sequence: 0n } });
    const run = async () => {
      const erased: number[] = [];
      let next: string | undefined;
      do {
        const batch = await store.erase('tenant', 2, next);
        erased.push(batch.erased);
        next = batch.next;
      } while (next !== undefined);
      return erased;
    };
    t.deepEqual(await run(), [2, 2, 2, 1]);
    t.deepEqual(await run(), [0]);
    t.is(await store.countLive('tenant', 10), 0);
  });

  it('a record in progress is not erased until its execution has ended', async (t, {
    store,
    other,
    advance,
  }) => {
    const operation = request();
    const claim = claimed(t, await store.claim(operation));
    t.is((await other.erase('tenant', 10)).erased, 0);
    await advance(5 * minute);
    await claim.renew();
    t.deepEqual(inProgress(t, await other.find(operation)).fingerprint, operation.fingerprint);
    await claim.complete(reply('secret'));
    t.is((await other.erase('tenant', 10)).erased, 1);
    t.is((await store.claim(operation)).outcome, 'erased');
  });

  it('an erased record expires and is purged like other records', async (t, subject) => {
    const { store, advance } = subject;
    const operation = await keep(t, subject, { retentionMs: 20 * minute });
    const long = await keep(t, subject);
    t.is((await store.erase('tenant', 10)).erased, 2);
    await advance(20 * minute);
    t.is((await store.purge(10)).purged, 1);
    t.is(await store.find(operation), undefined);
    t.is((await store.claim(long)).outcome, 'erased');
    await claimed(t, await store.claim(operation)).complete(reply('new'));
    t.deepEqual(completed(t, await store.claim(operation)).reply, reply('new'));
  });

  it('an erased key that has expired is a new key of its scope', async (t, subject) => {
    const { store, advance } = subject;
    const operation = await keep(t, subject);
    await store.erase('tenant', 10);
    await advance(hour);
    const claim = claimed(t, await store.claim(operation));
    t.false(claim.takenOver);
    await claim.complete(reply('new'));
    t.is(await store.countLive('tenant', 10), 1);
    t.is((await store.erase('tenant', 10)).erased, 1);
    t.is((await store.claim(operation)).outcome, 'erased');
  });
}

for (const name of ['sqlite', 'postgres'] as const) {
  test.serial(`${name}: an erased record contains no data of its caller`, async (t) => {
    const { store, database } = await subjects(t, name);
    const rows = async () =>
      JSON.stringify((await database?.query('SELECT * FROM replay_guard_records')) ?? [], (_key, value) =>
        typeof value === 'bigint' ? `${value}` : value,
      );
    const operation = request({ scope: 'alice@example.com' });
    await claimed(t, await store.claim(operation)).complete(reply('secret'));
    const traces = [operation.fingerprint, reply('secret')].map((bytes) => JSON.stringify(bytes));
    const before = await rows();
    for (const trace of traces) t.true(before.includes(trace));
    await store.erase('alice@example.com', 10);
    const after = await rows();
    for (const trace of [...traces, 'alice']) t.false(after.includes(trace), after);
  });
}
