import { randomUUID } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Metadata, status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import type { MethodPolicy } from 'grpc-replay-guard';
import type { OpenStore } from 'grpc-replay-guard/store';
import { assertRefused } from '../../helpers/calls/assert-refused.js';
import type { CallSettings, Reply } from '../../helpers/calls/call.js';
import { openUrl } from '../../helpers/databases/open-url.js';
import { sharedData } from '../../helpers/databases/shared-data.js';
import { startProxy } from '../../helpers/proxies/postgres-proxy.js';
import {
  type LedgerMethod,
  methods,
  onBoth,
  openLedger,
  writeEffect,
} from '../../helpers/servers/guarded-ledger.js';
import { captureUnhandledErrors } from '../../helpers/servers/unhandled-errors.js';
import { scopeDigest } from '../../helpers/stores/scope-digest.js';
import { Barrier } from '../../helpers/waiting/barrier.js';
import { limitConcurrency } from '../../helpers/waiting/concurrency-limit.js';
import { poll } from '../../helpers/waiting/poll.js';

const shared = sharedData(test);
// One look at the database for all, past the proxies.
let direct: Promise<OpenStore> | undefined;
test.after.always(async () => (await direct)?.close());
const guardOnly = captureUnhandledErrors(test);
const limited = limitConcurrency(8);
const concurrently = (title: string, check: (t: ExecutionContext) => Promise<void>) =>
  test(title, (t) => limited(() => check(t)));
const paths = ['/test.v1.LedgerService/Append', '/test.v1.LedgerService/Transfer'];

/** What the handler of a call does: its account begins with it. */
type Kind = 'OK' | 'OK without writes' | 'NOT_FOUND' | 'NOT_FOUND without writes' | 'ABORTED once';

/** For what is found out as soon as the database is asked, however long that takes on a busy machine. */
const patient = { waitMs: 20_000 };

interface Setup {
  readonly policy?: Partial<MethodPolicy>;
  /** What handlers wait for after they have written. */
  readonly barrier?: Barrier;
}

/** A server whose connections to Postgres can be cut. */
async function behindProxy(
  t: ExecutionContext,
  method: LedgerMethod,
  kind: Kind,
  { policy, barrier }: Setup = {},
) {
  const data = await shared(t, 'postgres');
  const proxy = await startProxy(t, data.url);
  const opened = await openUrl(proxy.url, { maxConnections: 3 });
  t.teardown(opened.close);
  const [name, scoped] = [randomUUID(), new Barrier()];
  scoped.open();
  const policies = Object.fromEntries(paths.map((path) => [path, { leaseMs: 60_000, waitMs: 0, ...policy }]));
  const executed: string[] = [];
  const ledger = await openLedger(t, data, {
    opened,
    guard: { scope: () => scoped.pass().then(() => name), policies },
    handlers: (database) =>
      onBoth(async (account, callback) => {
        executed.push(account);
        if (!kind.includes('without')) await writeEffect(database, account);
        if (account !== 'warm') await barrier?.pass();
        const metadata = new Metadata();
        metadata.set('execution', String(executed.length));
        if (kind === 'ABORTED once' && executed.length === 2) callback({ code: status.ABORTED });
        else if (kind.startsWith('NOT_FOUND') && account !== 'warm')
          callback({ code: status.NOT_FOUND, details: `no ${executed.length}`, metadata });
        else callback(null, { entryId: randomUUID(), transferId: randomUUID() });
      }),
  });
  if (barrier) t.teardown(() => barrier.open());
  // Connections and statements are made ready, so that the next call has only its own.
  await ledger.ask(method, 'warm', 'warm');
  executed.length = 1;
  // What was cut off may hold its locks for a moment.
  direct ??= openUrl(data.url, { maxConnections: 1, lockTimeoutMs: 20_000 });
  const { database } = await direct;
  const rows = (text: string, param: string) => database.query(text, [param]);
  return {
    proxy,
    ledger,
    scoped,
    /** How often the handler ran for the key. */
    executions: () => executed.length - 1,
    ask: (settings?: CallSettings) => ledger.ask(method, 'key', name, settings),
    effects: async () => (await rows('SELECT 1 AS one FROM effects WHERE account = $1', name)).length,
    /** Has the leases of those who are gone run out. */
    expire: () =>
      rows(
        'UPDATE replay_guard_records SET lease_until = 0 WHERE scope = CAST($1 AS BIGINT) AND state <= 0',
        scopeDigest(name),
      ),
    /** The states of the stored records, the one of the warming first. */
    states: async () =>
      (
        await rows(
          'SELECT state FROM replay_guard_records WHERE scope = CAST($1 AS BIGINT) ORDER BY expires_at',
          scopeDigest(name),
        )
      ).map(({ state }) => Number(state)),
  };
}

/** Retries as the contract tells clients to, until it is no longer refused for the time being. */
async function insist<R>(attempt: () => Promise<Reply<R>>): Promise<Reply<R>> {
  let reply = await attempt();
  await poll(`the key is settled; so far ${reply.details}`, async () => {
    if (reply.code === status.UNAVAILABLE) reply = await attempt();
    return reply.code !== status.UNAVAILABLE;
  });
  return reply;
}

function unknown(t: ExecutionContext, reply: Reply<unknown>): void {
  assertRefused(t, reply, status.UNAVAILABLE, 'IDEMPOTENCY_OUTCOME_UNKNOWN', 'RetryInfo');
}

/** The statement that settles a call, for each way to come to it. */
const settlements: readonly (readonly [LedgerMethod, Kind, RegExp])[] = [
  ['append', 'OK', /^COMMIT/],
  ['append', 'NOT_FOUND', /^COMMIT/],
  ['transfer', 'OK', /^COMMIT/],
  ['transfer', 'NOT_FOUND', /^COMMIT/],
  ['transfer', 'OK without writes', /^UPDATE replay_guard_records SET state/],
  ['transfer', 'NOT_FOUND without writes', /^UPDATE replay_guard_records SET state/],
];

for (const [method, kind, statement] of settlements) {
  const isOk = kind.startsWith('OK');
  const effects = kind === 'OK' ? 1 : 0;
  const code = isOk ? status.OK : status.NOT_FOUND;

  concurrently(
    `postgres, ${method}, ${kind}: committed and the answer lost, it is found out within the call`,
    async (t) => {
      const { proxy, ledger, ask, ...seen } = await behindProxy(t, method, kind, { policy: patient });
      proxy.cutAt(statement, 'after');
      const first = await ask();
      t.like(first, { code, replayed: false });
      const retry = await ask();
      t.like(retry, { code, details: first.details, bytes: first.bytes, replayed: true });
      t.deepEqual(retry.trailers.get('execution'), first.trailers.get('execution'));
      t.is(seen.executions(), 1);
      t.is(await seen.effects(), effects);
      t.deepEqual(ledger.outcomes.ended, ['executed', 'executed', 'replayed']);
      t.is(proxy.cuts, 1);
    },
  );

  concurrently(
    `postgres, ${method}, ${kind}: not committed, it is neither given up nor run again by us`,
    async (t) => {
      const { proxy, ledger, ask, ...seen } = await behindProxy(t, method, kind);
      proxy.cutAt(statement, 'before');
      unknown(t, await ask());
      t.is(seen.executions(), 1);
      t.is(ledger.outcomes.did('release'), 0);
      // In a transaction the claim was rolled back with the rest.
      t.is((await seen.states()).length, method === 'transfer' ? 2 : 1);
      await seen.expire();
      const retry = await insist(ask);
      t.like(retry, { code, replayed: false });
      t.like(await ask(), { code, replayed: true, bytes: retry.bytes, details: retry.details });
      t.is(seen.executions(), 2);
      t.is(await seen.effects(), effects);
      t.is(ledger.outcomes.takenOver.includes(true), method === 'transfer');
    },
  );

  concurrently(
    `postgres, ${method}, ${kind}: committed and the database gone, it stays unknown until it is back`,
    async (t) => {
      const { proxy, ledger, ask, ...seen } = await behindProxy(t, method, kind);
      proxy.cutAt(statement, 'after', 'down');
      unknown(t, await ask());
      t.is((await ask()).code, status.UNAVAILABLE);
      t.deepEqual(await seen.states(), [1, 1]);
      proxy.up();
      t.like(await insist(ask), { code, replayed: true });
      t.is(seen.executions(), 1);
      t.is(await seen.effects(), effects);
      t.is(ledger.outcomes.did('release'), 0);
    },
  );
}

for (const method of methods) {
  concurrently(`postgres, ${method}: a doubt lasts no longer than its call`, async (t) => {
    const { proxy, ledger, ask, ...seen } = await behindProxy(t, method, 'OK', { policy: patient });
    proxy.cutAt(/^COMMIT/, 'after', 'down');
    const reply = await ask({ deadlineMs: 1_500 });
    // On a busy machine it may come too late for the client, but come it must.
    if (reply.code !== status.DEADLINE_EXCEEDED) unknown(t, reply);
    await ledger.outcomes.reached('refused');
    proxy.up();
    t.like(await insist(ask), { code: status.OK, replayed: true });
    t.is(seen.executions(), 1);
    t.is(await seen.effects(), 1);
  });

  concurrently(
    `postgres, ${method}: a database that does not answer does not prolong the doubt`,
    async (t) => {
      const { proxy, ask, ...seen } = await behindProxy(t, method, 'OK');
      proxy.cutAt(/^COMMIT/, 'after', 'hang');
      // Sooner than a connection is given up.
      unknown(t, await ask({ deadlineMs: 4_000 }));
      proxy.down();
      proxy.up();
      t.like(await insist(ask), { code: status.OK, replayed: true });
      t.is(seen.executions(), 1);
      t.is(await seen.effects(), 1);
    },
  );

  for (const [when, then] of [
    ['after', undefined],
    ['after', 'down'],
    ['before', undefined],
  ] as const) {
    const what = `${when === 'after' ? 'committed' : 'not committed'}${then ? ' and the database gone' : ''}`;
    concurrently(`postgres, ${method}: duplicates that wait for a commit in doubt, ${what}`, async (t) => {
      const barrier = new Barrier();
      const found = when === 'after' && !then;
      const policy = found ? patient : { waitMs: 1_500 };
      const { proxy, ask, scoped, ...seen } = await behindProxy(t, method, 'OK', { barrier, policy });
      const first = ask();
      await barrier.reached();
      const parked = [ask(), ask(), ask()];
      // The warming, the first, and those.
      await scoped.reached(5);
      await nextTurn();
      proxy.cutAt(/^COMMIT/, when, then);
      barrier.open();
      const [answered, others] = [await first, await Promise.all(parked)];
      if (found) t.like(answered, { code: status.OK, replayed: false });
      else unknown(t, answered);
      if (when === 'after') t.is(seen.executions(), 1);
      proxy.up();
      await seen.expire();
      const last = await insist(ask);
      t.is(last.code, status.OK);
      for (const other of others) {
        if (other.code === status.OK) t.deepEqual(other.bytes, last.bytes);
        else t.is(other.code, status.UNAVAILABLE, other.details);
        if (found) t.like(other, { code: status.OK, replayed: true });
      }
      if (answered.bytes) t.deepEqual(answered.bytes, last.bytes);
      t.is(seen.executions(), when === 'after' ? 1 : 2);
      t.is(await seen.effects(), 1);
    });
  }

  concurrently(
    `postgres, ${method}: a connection that was lost before the COMMIT leaves no doubt`,
    async (t) => {
      const barrier = new Barrier();
      const setup = { barrier, policy: patient };
      const { proxy, ledger, ask, ...seen } = await behindProxy(t, method, 'OK', setup);
      const first = ask();
      await barrier.reached();
      proxy.down();
      proxy.up();
      // A round trip on another connection: the end of this one has been noticed by then.
      await ledger.store.ping();
      barrier.open();
      const refused = await first;
      assertRefused(t, refused, status.UNAVAILABLE, 'IDEMPOTENCY_STORE_UNAVAILABLE', 'RetryInfo');
      t.like(await insist(ask), { code: status.OK, replayed: false });
      t.is(await seen.effects(), 1);
    },
  );

  concurrently(`postgres, ${method}: a write that is cut off is not lost on the retry`, async (t) => {
    const { proxy, ask, ...seen } = await behindProxy(t, method, 'OK');
    proxy.cutAt(/^INSERT INTO effects/, 'after');
    t.not((await ask()).code, status.OK);
    t.deepEqual(guardOnly.takeUnhandled(), []);
    await seen.expire();
    t.like(await insist(ask), { code: status.OK, replayed: false });
    t.is(await seen.effects(), 1);
  });

  for (const when of ['before', 'after'] as const) {
    concurrently(`postgres, ${method}: cut off ${when} the claim, nothing is executed`, async (t) => {
      const { proxy, ask, ...seen } = await behindProxy(t, method, 'OK');
      proxy.cutAt(/INSERT INTO replay_guard_records/, when);
      const refused = await ask();
      assertRefused(t, refused, status.UNAVAILABLE, 'IDEMPOTENCY_STORE_UNAVAILABLE', 'RetryInfo');
      t.is(seen.executions(), 0);
      await seen.expire();
      t.like(await insist(ask), { code: status.OK, replayed: false });
      t.is(await seen.effects(), 1);
    });

    for (const statement of [/^ROLLBACK$/, /^DELETE FROM replay_guard_records/]) {
      // In a transaction the claim is given up with the rest.
      if (method === 'append' && statement.test('DELETE FROM replay_guard_records')) continue;
      const what = String(statement.exec('ROLLBACK') ?? 'DELETE');
      concurrently(
        `postgres, ${method}: cut off ${when} the ${what}, a key that was given up is free soon`,
        async (t) => {
          const { proxy, ask, ...seen } = await behindProxy(t, method, 'ABORTED once');
          proxy.cutAt(statement, when);
          t.is((await ask()).code, status.ABORTED);
          t.is(proxy.cuts, 1);
          await seen.expire();
          const retry = await insist(ask);
          t.like(retry, { code: status.OK, replayed: false });
          t.like(await ask(), { replayed: true, bytes: retry.bytes });
          t.is(seen.executions(), 2);
          t.is(await seen.effects(), 1);
        },
      );
    }
  }
}
