import { createHash, randomUUID } from 'node:crypto';
import { status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { type Peppers, type ReplayGuardOptions, scopeFromMetadata } from 'grpc-replay-guard';
import type { OpenStore } from 'grpc-replay-guard/store';
import type { CallSettings } from '../../helpers/calls/call.js';
import { retryWhileUnavailable } from '../../helpers/calls/retry-while-unavailable.js';
import { sequenceSettings } from '../../helpers/calls/sequence-settings.js';
import { administer } from '../../helpers/databases/administer.js';
import { emptiedData } from '../../helpers/databases/emptied-data.js';
import { type DataSource, dataAt, engines } from '../../helpers/databases/engines.js';
import {
  type Ledger,
  type LedgerMethod,
  methods,
  onBoth,
  openLedger,
} from '../../helpers/servers/guarded-ledger.js';
import { PassingStore } from '../../helpers/stores/passing-store.js';
import { scopeDigest } from '../../helpers/stores/scope-digest.js';
import { Barrier } from '../../helpers/waiting/barrier.js';
import { poll } from '../../helpers/waiting/poll.js';

const emptied = emptiedData(test);

type Pepper = ReplayGuardOptions['pepper'];

/** A store as a server of an earlier version uses it: such a server knows no marks. */
class EarlierStore extends PassingStore {}

const earlier = { isEarlier: true, pepper: 'pepper' } as const;
const unswitched: Peppers = { current: 'pepper' };
const switched: Peppers = { current: 'pepper', covers: 'everything' };
const keysOnly: Peppers = { current: 'pepper', covers: 'keys' };

async function open(
  t: ExecutionContext,
  data: DataSource,
  server: Pepper | typeof earlier,
  setup: Parameters<typeof openLedger>[2] = {},
): Promise<Ledger> {
  const isEarlier = typeof server === 'object' && 'isEarlier' in server;
  const opened: OpenStore = await data.open({ lockTimeoutMs: 5_000 });
  const pepper: Pepper = isEarlier ? server.pepper : (server as Pepper);
  return openLedger(t, data, {
    opened: isEarlier ? { ...opened, store: new EarlierStore(opened.store) } : opened,
    guard: { scope: scopeFromMetadata('x-tenant'), ...(pepper !== undefined && { pepper }) },
    ...setup,
  });
}

const settingsOf = (tenant = 'a'): CallSettings => ({ metadata: { 'x-tenant': tenant } });

const ask = (ledger: Ledger, key: string, method: LedgerMethod = 'append', account = 'alice', tenant = 'a') =>
  retryWhileUnavailable(() => ledger.ask(method, key, account, settingsOf(tenant)));

const next = (ledger: Ledger, sequence: number, producer = 'producer') => {
  const { metadata } = sequenceSettings(producer, sequence);
  return retryWhileUnavailable(() =>
    ledger.append(undefined, { account: 'alice' }, { metadata: { ...metadata, 'x-tenant': 'a' } }),
  );
};

/** The stored scopes of all records, and whether a record has the plain scope of the tenant. */
async function storedScopes({ database }: Ledger) {
  const rows = await database.query(
    'SELECT scope FROM replay_guard_records UNION ALL SELECT scope FROM replay_guard_producers',
  );
  const plain = rows.filter(({ scope }) => String(scope) === scopeDigest('a')).length;
  return { plain, covered: rows.length - plain };
}

for (const engine of engines) {
  const it = (title: string, check: (t: ExecutionContext, data: DataSource) => Promise<void>) =>
    test.serial(`${engine}: ${title}`, async (t) => check(t, await emptied(t, engine)));

  it('with a pepper, no stored value follows from the caller and the request', async (t, data) => {
    const peppered = await open(t, data, 'pepper');
    for (const method of methods) for (const key of ['one', 'two']) await ask(peppered, key, method);
    for (const sequence of [0, 1]) await next(peppered, sequence);
    const tables = ['records', 'producers', 'schema'].map((name) => `replay_guard_${name}`);
    const rows = (
      await Promise.all(tables.map((name) => peppered.database.query(`SELECT * FROM ${name}`)))
    ).flat();
    const values = rows.flatMap((row) => Object.values(row));
    const bytes = values.map((value) => (Buffer.isBuffer(value) ? value : Buffer.from(String(value))));
    const { Append, Transfer } = peppered.definition;
    const requests = [
      Append.requestSerialize({ account: 'alice' }),
      Transfer.requestSerialize({ from: 'alice' }),
    ];
    const guesses = requests.map((request) => createHash('sha256').update(request).digest());
    for (const guess of guesses) t.false(bytes.some((value) => value.includes(guess)));
    t.deepEqual(await storedScopes(peppered), { plain: 0, covered: 5 });
    const fingerprints = rows.flatMap(({ fingerprint }) => (fingerprint ? [String(fingerprint)] : []));
    t.is(
      new Set(fingerprints).size,
      5,
      'equal requests of two operations have different stored fingerprints',
    );
    // The same guesses find a record that is not under a pepper.
    const plain = await open(t, data, undefined);
    await ask(plain, 'plain');
    t.deepEqual(await storedScopes(plain), { plain: 1, covered: 5 });
  });

  it('a server of this version beside a server of an earlier version stores what both find', async (t, data) => {
    const old = await open(t, data, earlier);
    const first = await ask(old, 'first');
    const fresh = await open(t, data, unswitched);
    await provesOneExecution(t, [old, fresh]);
    t.like(await ask(fresh, 'first'), { bytes: first.bytes, replayed: true });
    t.is((await storedScopes(fresh)).covered, 0);
  });

  it('after one server covers everything, the other servers do so too, one by one and at the same time', async (t, data) => {
    const old = await open(t, data, earlier);
    const kept = await ask(old, 'kept');
    const [first, second] = [await open(t, data, unswitched), await open(t, data, unswitched)];
    const before = await ask(first, 'before', 'transfer');
    for (const sequence of [0, 1]) await next(first, sequence);
    const third = await open(t, data, switched);
    await ask(third, 'change');
    await provesOneExecution(t, [first, third, second]);
    for (const server of [first, second, third]) {
      t.like(await ask(server, 'kept'), { bytes: kept.bytes, replayed: true });
      t.like(await ask(server, 'before', 'transfer'), { bytes: before.bytes, replayed: true });
      t.is((await ask(server, 'kept', 'append', 'another')).code, status.FAILED_PRECONDITION);
    }
    const { plain, covered } = await storedScopes(third);
    t.is(plain, 3, 'records keep their form');
    t.is(covered, 13);
    for (const [sequence, server] of [third, second, first].entries())
      t.like(await next(server, sequence + 2), { code: status.OK, replayed: false });
    t.like(await next(third, 4), { code: status.OK, replayed: true });
    // A server that starts later reads the agreement, with and without the option.
    for (const later of [await open(t, data, unswitched), await open(t, data, keysOnly)]) {
      t.like(await ask(later, 'kept'), { bytes: kept.bytes, replayed: true });
      const { covered: before } = await storedScopes(later);
      await ask(later, `later-${before}`);
      t.is((await storedScopes(later)).covered, before + 1);
    }
  });

  it('an execution that began before the change is found by the changed server', async (t, data) => {
    for (const method of methods) {
      const barrier = new Barrier();
      const held = () => onBoth((_account, callback) => void barrier.pass().then(() => callback(null, {})));
      const first = await open(
        t,
        data,
        { current: `${method} old`, next: `${method} new` },
        { handlers: held },
      );
      // The second server reads the marks with its first call.
      const second = await open(t, data, { current: `${method} new`, previous: [`${method} old`] });
      const running = ask(first, 'key', method);
      await barrier.reached();
      const waiting = ask(second, 'key', method);
      const other = ask(second, 'other', method);
      if (engine === 'postgres' || method === 'transfer') t.is((await other).code, status.OK);
      barrier.open();
      const { bytes, replayed } = await running;
      t.false(replayed);
      t.like(await waiting, { bytes, replayed: true });
      t.is((await other).code, status.OK);
      t.deepEqual([first.entered, second.entered], [1, 1]);
    }
  });

  it('after the change, the store refuses the claims of an earlier version', async (t, data) => {
    const fresh = await open(t, data, unswitched);
    await ask(fresh, 'key');
    const claim = (table: string, columns = '', values = '') =>
      fresh.database.query(
        `INSERT INTO ${table} (scope, id, fingerprint, state, fence, lease_until, expires_at${columns})
         SELECT scope, id, fingerprint, 0, ${Date.now() + 60_000}, 2, 3${values} FROM replay_guard_records WHERE TRUE
         ON CONFLICT (scope, id) DO UPDATE SET state = -1`,
      );
    await t.throwsAsync(claim('replay_guard_records'), { any: true, message: /refuse|earlier version/ });
    const series = [', epoch, sequence, completed, expires_minute, replies', ', 0, 0, 0, 0, fingerprint'];
    await t.throwsAsync(claim('replay_guard_producers', ...series), {
      any: true,
      message: /refuse|earlier version/,
    });
    t.like(await ask(fresh, 'key'), { code: status.OK, replayed: true });
    // A server without a pepper keeps its form.
    const plain = await open(t, data, undefined);
    t.like(await ask(plain, 'plain'), { code: status.OK, replayed: false });
  });

  it('an execution of an earlier version renews and completes after the change', async (t, data) => {
    const barrier = new Barrier();
    const old = await open(t, data, earlier, {
      handlers: () => onBoth((_account, callback) => void barrier.pass().then(() => callback(null, {}))),
      guard: {
        scope: scopeFromMetadata('x-tenant'),
        pepper: 'pepper',
        policies: { '/test.v1.LedgerService/Transfer': { leaseMs: 1_000 } },
      },
    });
    const running = ask(old, 'key', 'transfer');
    await barrier.reached();
    await old.database.query('UPDATE replay_guard_records SET state = 0');
    const fresh = await open(t, data, switched);
    await ask(fresh, 'other');
    await poll('the lease was renewed', async () => {
      const [row] = await old.database.query('SELECT state FROM replay_guard_records WHERE fence > 0');
      return row?.state === -2n;
    });
    barrier.open();
    t.is((await running).code, status.OK);
    t.like(await ask(fresh, 'key', 'transfer'), { replayed: true });
  });

  it('the fence does not refuse the renewal statement of version 0.2', async (t, data) => {
    const barrier = new Barrier();
    const old = await open(t, data, earlier, {
      handlers: () => onBoth((_account, callback) => void barrier.pass().then(() => callback(null, {}))),
    });
    const running = ask(old, 'key', 'transfer');
    await barrier.reached();
    await old.database.query('UPDATE replay_guard_records SET state = 0');
    await ask(await open(t, data, switched), 'other', 'transfer', 'another');
    const renewed = await old.database.query(
      'UPDATE replay_guard_records SET lease_until = lease_until + 1 WHERE state = 0 RETURNING fence',
    );
    t.is(renewed.length, 1);
    barrier.open();
    t.is((await running).code, status.OK);
  });

  it('an orphan with an old first-sent time is taken over in its own form, and expires as before', async (t, data) => {
    for (const [before, after] of [
      [earlier, switched],
      ['old', { current: 'new', previous: ['old'] }],
    ] as const) {
      const barrier = new Barrier();
      const handlers = () =>
        onBoth((_account, callback) => void barrier.pass().then(() => callback(null, {})));
      const crashing = await open(t, data, before, { handlers });
      const key = `key-${runs++}`;
      // The retention is 24 hours.
      const firstSent = new Date(Date.now() - 20 * 3_600_000).toISOString();
      const settings = { metadata: { 'x-tenant': 'a', 'idempotency-first-sent': firstSent } };
      const crashed = crashing.ask('transfer', key, 'alice', settings);
      await barrier.reached();
      await crashing.database.query(
        'UPDATE replay_guard_records SET lease_until = 0, expires_at = expires_at - 72000000 WHERE state <= 0',
      );
      const expiry = async () => (await crashing.database.query(expiries))[0]?.expires_at;
      const expected = await expiry();
      const server = await open(t, data, after);
      const taken = await retryWhileUnavailable(() => server.ask('transfer', key, 'alice', settings));
      t.like(taken, { code: status.OK, replayed: false });
      t.true(server.outcomes.takenOver[0]);
      t.is((await crashing.database.query(expiries))[0]?.expires_at, expected);
      barrier.open();
      await crashed;
      await server.database.query('DELETE FROM replay_guard_records');
    }
  });

  it('servers that state different successors of a pepper do not execute a key twice', async (t, data) => {
    const refused = async (pepper: Peppers, key: string) => {
      const server = await open(t, data, pepper);
      const { code } = await server.ask('append', key, 'alice', settingsOf());
      t.is(code, status.UNAVAILABLE, JSON.stringify(pepper));
      t.is(server.entered, 0);
    };
    const waiting = await open(t, data, { current: 'old', next: 'wrong' });
    await ask(waiting, 'first');
    const server = await open(t, data, { current: 'new', previous: ['old'] });
    await ask(server, 'key');
    t.is((await waiting.ask('append', 'key', 'alice', settingsOf())).code, status.UNAVAILABLE);
    await refused({ current: 'other', previous: ['old'] }, 'key');
    await ask(await open(t, data, { current: 'newer', previous: ['new'] }), 'later');
    // The pepper before `old` was never in use on this store.
    await refused({ current: 'old', previous: ['older'] }, 'later');
    await refused({ current: 'new', previous: ['older'] }, 'later');
    await refused({ current: 'old', next: 'new' }, 'later');
    const all: Peppers = { current: 'newer', previous: ['old', 'new', 'older'] };
    t.true((await ask(await open(t, data, all), 'first')).replayed);
    t.true((await ask(await open(t, data, all), 'key')).replayed);
  });

  it('two servers that replace the pepper of each other at once do not both execute', async (t, data) => {
    const servers = await Promise.all([
      open(t, data, { current: 'one', previous: ['two'], covers: 'everything' }),
      open(t, data, { current: 'two', previous: ['one'], covers: 'everything' }),
    ]);
    for (const key of ['a', 'b'])
      await Promise.all(servers.map((server) => server.ask('append', key, 'alice', settingsOf())));
    t.true(servers.reduce((sum, { entered }) => sum + entered, 0) <= 2);
  });

  it('a key costs no look-up of an earlier form when the last record of that form has expired', async (t, data) => {
    const old = await open(t, data, earlier);
    await ask(old, 'first');
    await ask(await open(t, data, switched), 'change');
    await old.database.query(
      "UPDATE replay_guard_schema SET version = 1 WHERE component LIKE '%/pepper/former-until'",
    );
    const server = await open(t, data, unswitched);
    await ask(server, 'second');
    t.is(server.outcomes.did('claim'), 1);
    const finds = server.outcomes.did('find');
    await ask(server, 'third');
    t.is(server.outcomes.did('find'), finds);
  });

  it('an orphaned execution is taken over in its own form, and not kept longer than its form', async (t, data) => {
    const barrier = new Barrier();
    t.teardown(() => barrier.open());
    const old = await open(t, data, earlier, {
      handlers: () => onBoth((_account, callback) => void barrier.pass().then(() => callback(null, {}))),
    });
    const crashed = ask(old, 'key', 'transfer');
    await barrier.reached();
    await old.database.query(
      'UPDATE replay_guard_records SET lease_until = 0, expires_at = expires_at - 3600000',
    );
    const expiry = async () =>
      Number((await old.database.query('SELECT max(expires_at) AS at FROM replay_guard_records'))[0]?.at);
    const before = await expiry();
    const fresh = await open(t, data, switched);
    t.like(await ask(fresh, 'key', 'transfer'), { code: status.OK, replayed: false });
    t.true(fresh.outcomes.takenOver[0]);
    t.deepEqual(await storedScopes(fresh), { plain: 1, covered: 0 });
    t.true((await expiry()) <= before + 120_000);
    barrier.open();
    t.is((await crashed).replayed, true);
  });

  it('a pepper is replaced on one server after another, and no key executes twice', async (t, data) => {
    const steps: Peppers[] = [
      { current: 'old' },
      { current: 'old', next: 'new' },
      { current: 'new', previous: ['old'] },
      { current: 'new' },
    ];
    const servers: Ledger[] = [];
    for (const step of steps.slice(0, 3)) {
      servers.push(await open(t, data, step), await open(t, data, step));
      await provesOneExecution(t, servers.slice(-4));
    }
    servers.push(await open(t, data, steps[3]));
    await provesOneExecution(t, servers.slice(-3));
    // A server that does not know the new pepper would execute the keys of the others again.
    const late = await open(t, data, { current: 'old' });
    const refused = await late.ask('append', 'late', 'alice', settingsOf());
    t.is(refused.code, status.UNAVAILABLE);
    t.is(late.entered, 0);
    // A server that knows both follows the agreement, whatever its order.
    const back = await open(t, data, { current: 'old', previous: ['new'] });
    await provesOneExecution(t, [back, servers.at(-1) as Ledger]);
  });

  it('the first pepper is introduced on one server after another', async (t, data) => {
    const plain = await open(t, data, undefined);
    const kept = await ask(plain, 'kept');
    const step = { current: null, next: 'pepper' } as const;
    const [first, second] = [await open(t, data, step), await open(t, data, step)];
    await provesOneExecution(t, [plain, first, second]);
    const third = await open(t, data, { current: 'pepper', previous: [null], covers: 'everything' });
    await provesOneExecution(t, [first, third, second]);
    t.like(await ask(third, 'kept'), { bytes: kept.bytes, replayed: true });
  });

  it('an erasure and a quota include the records of each form', async (t, data) => {
    const old = await open(t, data, earlier);
    await ask(old, 'plain');
    const quotas = { liveKeysPerScope: 3 };
    const guard = { scope: scopeFromMetadata('x-tenant'), quotas };
    const one = await open(t, data, undefined, { guard: { ...guard, pepper: switched } });
    await ask(one, 'one');
    const pepper: Peppers = { current: 'two', previous: ['pepper'] };
    const two = await open(t, data, undefined, { guard: { ...guard, pepper } });
    await ask(two, 'two');
    await ask(two, 'two', 'append', 'alice', 'another tenant');
    t.is((await ask(two, 'three')).code, status.RESOURCE_EXHAUSTED);
    t.like(await two.guard.eraseScope('a'), { erased: 3, skipped: 0 });
    for (const key of ['plain', 'one', 'two']) t.is((await ask(two, key)).code, status.DATA_LOSS);
    t.like(await ask(two, 'two', 'append', 'alice', 'another tenant'), { replayed: true });
  });

  it('a guard without a pepper sets no mark', async (t, data) => {
    const plain = await open(t, data, undefined);
    await ask(plain, 'key');
    const rows = await plain.database.query('SELECT component FROM replay_guard_schema ORDER BY component');
    t.deepEqual(
      rows.map(({ component }) => component),
      ['grpc-replay-guard', 'ledger'],
    );
  });
}

test.serial(
  'postgres: a role without the right to alter tables serves calls, with and without the mark',
  async (t) => {
    const data = await emptied(t, 'postgres');
    const role = `role_${randomUUID().replaceAll('-', '')}`;
    await openLedger(t, data, { guard: { mode: 'OFF' } });
    for (const text of [
      `CREATE ROLE ${role} LOGIN PASSWORD 'secret'`,
      `GRANT USAGE ON SCHEMA public TO ${role}`,
      `GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO ${role}`,
      `REVOKE INSERT ON replay_guard_schema FROM ${role}`,
    ])
      await administer(data.url, text);
    t.teardown(async () => {
      await administer(data.url, `DROP OWNED BY ${role}`);
      await administer(data.url, `DROP ROLE ${role}`);
    });
    const url = new URL(data.url);
    url.username = role;
    url.password = 'secret';
    const restricted = dataAt(t, 'postgres', url.href);
    const unmarked = await open(t, restricted, 'pepper');
    t.is((await ask(unmarked, 'one')).code, status.OK);
    t.deepEqual(await storedScopes(unmarked), { plain: 1, covered: 0 });
    t.is(
      (await (await open(t, restricted, switched)).ask('append', 'no', 'alice', settingsOf())).code,
      status.UNAVAILABLE,
    );
    await administer(data.url, `GRANT INSERT ON replay_guard_schema TO ${role}`);
    const marked = await open(t, restricted, switched);
    await provesOneExecution(t, [unmarked, marked]);
    t.like(await ask(marked, 'one'), { code: status.OK, replayed: true });
    const { covered } = await storedScopes(marked);
    t.true(covered > 0);
    // A mark that is set needs no right to set it.
    const rotated: Peppers = { current: 'newer', previous: ['pepper'] };
    await ask(await open(t, restricted, rotated), 'rotated');
    await administer(data.url, `REVOKE INSERT ON replay_guard_schema FROM ${role}`);
    t.like(await ask(await open(t, restricted, rotated), 'one'), { code: status.OK, replayed: true });
  },
);

/** The expiries of all records, the earliest one first. */
const expiries = 'SELECT expires_at FROM replay_guard_records ORDER BY expires_at';

/** Sends each key to all servers, in turn and at the same time, and counts the executions. */
async function provesOneExecution(t: ExecutionContext, servers: readonly Ledger[]): Promise<void> {
  const entered = () => servers.reduce((sum, server) => sum + server.entered, 0);
  const before = entered();
  const keys = methods.flatMap((method) =>
    servers.map((_, index) => ({ method, index, key: `key-${runs++}` })),
  );
  for (const { method, index, key } of keys) {
    const first = await ask(servers[index] as Ledger, key, method);
    t.like(first, { code: status.OK, replayed: false }, first.details);
    for (const server of servers)
      t.like(await ask(server, key, method), { bytes: first.bytes, replayed: true });
  }
  for (const { method, key } of keys) {
    const replies = await Promise.all(servers.map((server) => ask(server, `${key}-at-once`, method)));
    for (const { bytes } of replies) t.deepEqual(bytes, replies[0]?.bytes);
  }
  t.is(entered() - before, 2 * keys.length);
}
let runs = 0;
