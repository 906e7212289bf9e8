import { randomUUID } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Metadata, status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import type { MethodPolicy } from 'grpc-replay-guard';
import type { OpenStore } from 'grpc-replay-guard/store';
import { assertRefused } from '../../helpers/calls/assert-refused.js';
import type { CallSettings, Reply } from '../../helpers/calls/call.js';
import { sequenceSettings } from '../../helpers/calls/sequence-settings.js';
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
// All tests share one direct connection to the database. The connection does not go through a proxy.
let direct: Promise<OpenStore> | undefined;
test.after.always(async () => (await direct)?.close());
const guardOnly = captureUnhandledErrors(test);
const limited = limitConcurrency(8);
const concurrently = (title: string, check: (t: ExecutionContext) => Promise<void>) =>
  test(title, (t) => limited(() => check(t)));
const paths = ['/test.v1.LedgerService/Append', '/test.v1.LedgerService/Transfer'];

const openTransactions = "SELECT pid FROM pg_stat_activity WHERE application_name = $1 AND state <> 'idle'";

/** How a handler ends, and whether the handler writes. */
type Kind =
  | 'OK'
  | 'OK and the same reply'
  | 'OK without writes'
  | 'NOT_FOUND'
  | 'NOT_FOUND without writes'
  | 'ABORTED once';

/** For tests in which the first look-up finds the outcome. On a busy machine the look-up can take long. */
const patient = { waitMs: 20_000 };

interface Setup {
  readonly policy?: Partial<MethodPolicy>;
  /** Handlers wait here after their write. */
  readonly barrier?: Barrier;
}

/** A server whose connections to Postgres go through a proxy. The proxy can break connections. */
async function behindProxy(
  t: ExecutionContext,
  method: LedgerMethod,
  kind: Kind,
  { policy, barrier }: Setup = {},
) {
  const data = await shared(t, 'postgres');
  const proxy = await startProxy(t, data.url);
  const [name, scoped] = [randomUUID(), new Barrier()];
  const url = new URL(proxy.url);
  url.searchParams.set('application_name', name);
  const opened = await openUrl(url.href, { maxConnections: 3 });
  t.teardown(opened.close);
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
        else if (kind === 'OK and the same reply') callback(null, { entryId: 'same', transferId: 'same' });
        else callback(null, { entryId: randomUUID(), transferId: randomUUID() });
      }),
  });
  if (barrier) t.teardown(() => barrier.open());
  // This call opens the connections and prepares the statements. The next call sends only its own statements.
  await ledger.ask(method, 'warm', 'warm');
  executed.length = 1;
  // The server side of a broken connection may hold its locks for a moment.
  direct ??= openUrl(data.url, { maxConnections: 1, lockTimeoutMs: 20_000 });
  const { database } = await direct;
  /** Sends the call to another server. */
  const askOther = async (settings?: CallSettings) => {
    const other = await openLedger(t, data, {
      guard: { scope: () => name, policies },
      handlers: (own) =>
        onBoth(async (account, callback) => {
          await writeEffect(own, account);
          callback(null, { entryId: 'same', transferId: 'same' });
        }),
    });
    return other.ask(method, settings ? undefined : 'key', name, settings);
  };
  const rows = (text: string, param: string) => database.query(text, [param]);
  return {
    name,
    proxy,
    ledger,
    scoped,
    /** The number of executions of the key. */
    executions: () => executed.length - 1,
    askOther,
    ask: (settings?: CallSettings) => ledger.ask(method, 'key', name, settings),
    effects: async () => (await rows('SELECT 1 AS one FROM effects WHERE account = $1', name)).length,
    /**
     * Makes the leases of all running executions expire. The server side of a broken connection may still process a
     * COMMIT that it received before the break, so this waits until no transaction of the connection is open.
     */
    expire: async () => {
      await poll('no transaction is open', async () => (await rows(openTransactions, name)).length === 0);
      for (const table of ['replay_guard_records', 'replay_guard_producers']) {
        const text = `UPDATE ${table} SET lease_until = 0 WHERE scope = CAST($1 AS BIGINT) AND state <= 0`;
        await rows(text, scopeDigest(name));
      }
    },
    /** The states of the stored records. The first record belongs to the warm-up call. */
    states: async () =>
      (
        await rows(
          'SELECT state FROM replay_guard_records WHERE scope = CAST($1 AS BIGINT) ORDER BY expires_at',
          scopeDigest(name),
        )
      ).map(({ state }) => Number(state)),
  };
}

/** Retries while the call is refused with UNAVAILABLE, as the contract tells clients to. */
async function insist<R>(attempt: () => Promise<Reply<R>>): Promise<Reply<R>> {
  let reply = await attempt();
  await poll(`the outcome is known; so far ${reply.details}`, async () => {
    if (reply.code === status.UNAVAILABLE) reply = await attempt();
    return reply.code !== status.UNAVAILABLE;
  });
  return reply;
}

function unknown(t: ExecutionContext, reply: Reply<unknown>): void {
  assertRefused(t, reply, status.UNAVAILABLE, 'IDEMPOTENCY_OUTCOME_UNKNOWN', 'RetryInfo');
}

/** The statement that commits a call, for each method and kind. */
const commits: readonly (readonly [LedgerMethod, Kind, RegExp])[] = [
  ['append', 'OK', /^COMMIT/],
  ['append', 'NOT_FOUND', /^COMMIT/],
  ['transfer', 'OK', /^COMMIT/],
  // A failure is stored after the rollback, in a statement of its own.
  ['transfer', 'NOT_FOUND', /^UPDATE replay_guard_records SET state/],
  ['transfer', 'OK without writes', /^UPDATE replay_guard_records SET state/],
  ['transfer', 'NOT_FOUND without writes', /^UPDATE replay_guard_records SET state/],
];

/** The number of earlier statements of a call that match: in a LEASE, the COMMIT of the claim. */
const earlierMatches = (method: LedgerMethod, statement: RegExp) =>
  method === 'transfer' && statement.test('COMMIT') ? 1 : 0;

for (const [method, kind, statement] of commits) {
  const skipped = earlierMatches(method, statement);
  const isOk = kind.startsWith('OK');
  const effects = kind === 'OK' ? 1 : 0;
  const code = isOk ? status.OK : status.NOT_FOUND;

  concurrently(
    `postgres, ${method}, ${kind}: a commit whose answer is lost is found within the call`,
    async (t) => {
      const { proxy, ledger, ask, ...observed } = await behindProxy(t, method, kind, { policy: patient });
      proxy.cutAt(statement, 'after', undefined, skipped);
      const first = await ask();
      t.like(first, { code, replayed: false });
      const retry = await ask();
      t.like(retry, { code, details: first.details, bytes: first.bytes, replayed: true });
      t.deepEqual(retry.trailers.get('execution'), first.trailers.get('execution'));
      t.is(observed.executions(), 1);
      t.is(await observed.effects(), effects);
      t.deepEqual(ledger.outcomes.ended, ['executed', 'executed', 'replayed']);
      t.is(proxy.cuts, 1);
    },
  );

  concurrently(
    `postgres, ${method}, ${kind}: a commit that never arrives is not released, and only a retry executes again`,
    async (t) => {
      const { proxy, ledger, ask, ...observed } = await behindProxy(t, method, kind);
      proxy.cutAt(statement, 'before', undefined, skipped);
      unknown(t, await ask());
      t.is(observed.executions(), 1);
      t.is(ledger.outcomes.did('release'), 0);
      // In a TRANSACTION the claim was rolled back together with the writes.
      t.is((await observed.states()).length, method === 'transfer' ? 2 : 1);
      await observed.expire();
      const retry = await insist(ask);
      t.like(retry, { code, replayed: false });
      t.like(await ask(), { code, replayed: true, bytes: retry.bytes, details: retry.details });
      t.is(observed.executions(), 2);
      t.is(await observed.effects(), effects);
      t.is(ledger.outcomes.takenOver.includes(true), method === 'transfer');
    },
  );

  concurrently(
    `postgres, ${method}, ${kind}: the outcome of a commit stays unknown while the database is down`,
    async (t) => {
      const { proxy, ledger, ask, ...observed } = await behindProxy(t, method, kind);
      proxy.cutAt(statement, 'after', 'down', skipped);
      unknown(t, await ask());
      t.is((await ask()).code, status.UNAVAILABLE);
      t.deepEqual(await observed.states(), [1, 1]);
      proxy.up();
      t.like(await insist(ask), { code, replayed: true });
      t.is(observed.executions(), 1);
      t.is(await observed.effects(), effects);
      t.is(ledger.outcomes.did('release'), 0);
    },
  );
}

for (const method of methods) {
  concurrently(
    `postgres, ${method}: a call in doubt whose reply another server has stored is answered as a replay`,
    async (t) => {
      const setup = { policy: patient };
      const { proxy, ledger, ask, askOther, ...observed } = await behindProxy(
        t,
        method,
        'OK and the same reply',
        setup,
      );
      proxy.cutAt(/^COMMIT/, 'before', undefined, earlierMatches(method, /^COMMIT/));
      const first = ask();
      await poll('the commit is in doubt', async () => proxy.cuts === 1);
      await observed.expire();
      const other = await askOther();
      t.like(other, { code: status.OK, replayed: false });
      t.like(await first, { code: status.OK, replayed: true, bytes: other.bytes });
      t.deepEqual(ledger.outcomes.ended, ['executed', 'replayed']);
      t.is(await observed.effects(), 1);
    },
  );

  concurrently(
    `postgres, ${method}: a sequence in doubt whose reply another server has stored is answered as a replay`,
    async (t) => {
      const setup = { policy: patient };
      const kind = 'OK and the same reply';
      const { proxy, ledger, askOther, ...observed } = await behindProxy(t, method, kind, setup);
      const sequence = sequenceSettings('gateway', 0);
      proxy.cutAt(/^COMMIT/, 'before', undefined, earlierMatches(method, /^COMMIT/));
      const first = ledger.ask(method, undefined, observed.name, sequence);
      await poll('the commit is in doubt', async () => proxy.cuts === 1);
      await observed.expire();
      const other = await askOther(sequence);
      t.like(other, { code: status.OK, replayed: false });
      t.like(await first, { code: status.OK, replayed: true, bytes: other.bytes });
      t.is(await observed.effects(), 1);
    },
  );

  concurrently(
    `postgres, ${method}: the look-up of an unknown outcome ends at the deadline of its call`,
    async (t) => {
      const { proxy, ledger, ask, ...observed } = await behindProxy(t, method, 'OK', { policy: patient });
      proxy.cutAt(/^COMMIT/, 'after', 'down', earlierMatches(method, /^COMMIT/));
      const reply = await ask({ deadlineMs: 1_500 });
      // On a busy machine the refusal can reach the client after the deadline. The guard must still refuse the call.
      if (reply.code !== status.DEADLINE_EXCEEDED) unknown(t, reply);
      await ledger.outcomes.reached('refused');
      proxy.up();
      t.like(await insist(ask), { code: status.OK, replayed: true });
      t.is(observed.executions(), 1);
      t.is(await observed.effects(), 1);
    },
  );

  concurrently(
    `postgres, ${method}: a database that does not answer does not prolong the call`,
    async (t) => {
      const { proxy, ask, ...observed } = await behindProxy(t, method, 'OK');
      proxy.cutAt(/^COMMIT/, 'after', 'hang', earlierMatches(method, /^COMMIT/));
      // This deadline is shorter than the time-out of a connection.
      unknown(t, await ask({ deadlineMs: 4_000 }));
      proxy.down();
      proxy.up();
      t.like(await insist(ask), { code: status.OK, replayed: true });
      t.is(observed.executions(), 1);
      t.is(await observed.effects(), 1);
    },
  );

  for (const [when, then] of [
    ['after', undefined],
    ['after', 'down'],
    ['before', undefined],
  ] as const) {
    const what = `${when === 'after' ? 'committed' : 'not committed'}${then ? ' and the database down' : ''}`;
    concurrently(
      `postgres, ${method}: duplicates that wait for a commit in doubt get one outcome, ${what}`,
      async (t) => {
        const barrier = new Barrier();
        const found = when === 'after' && !then;
        const policy = found ? patient : { waitMs: 1_500 };
        const { proxy, ask, scoped, ...observed } = await behindProxy(t, method, 'OK', { barrier, policy });
        const first = ask();
        await barrier.reached();
        const parked = [ask(), ask(), ask()];
        // The warm-up call, the first call and the three duplicates.
        await scoped.reached(5);
        await nextTurn();
        proxy.cutAt(/^COMMIT/, when, then);
        barrier.open();
        const [answered, others] = [await first, await Promise.all(parked)];
        if (found) t.like(answered, { code: status.OK, replayed: false });
        else unknown(t, answered);
        if (when === 'after') t.is(observed.executions(), 1);
        proxy.up();
        await observed.expire();
        const last = await insist(ask);
        t.is(last.code, status.OK);
        for (const other of others) {
          if (other.code === status.OK) t.deepEqual(other.bytes, last.bytes);
          else t.is(other.code, status.UNAVAILABLE, other.details);
          if (found) t.like(other, { code: status.OK, replayed: true });
        }
        if (answered.bytes) t.deepEqual(answered.bytes, last.bytes);
        t.is(observed.executions(), when === 'after' ? 1 : 2);
        t.is(await observed.effects(), 1);
      },
    );
  }

  concurrently(
    `postgres, ${method}: a connection that is lost before the COMMIT leaves no commit in doubt`,
    async (t) => {
      const barrier = new Barrier();
      const setup = { barrier, policy: patient };
      const { proxy, ledger, ask, ...observed } = await behindProxy(t, method, 'OK', setup);
      const first = ask();
      await barrier.reached();
      proxy.down();
      proxy.up();
      // After a round trip on another connection the pool has noticed the end of this one.
      await ledger.store.ping();
      barrier.open();
      const refused = await first;
      assertRefused(t, refused, status.UNAVAILABLE, 'IDEMPOTENCY_STORE_UNAVAILABLE', 'RetryInfo');
      t.like(await insist(ask), { code: status.OK, replayed: false });
      t.is(await observed.effects(), 1);
    },
  );

  concurrently(
    `postgres, ${method}: a retry writes again after the connection breaks at the handler's write`,
    async (t) => {
      const { proxy, ask, ...observed } = await behindProxy(t, method, 'OK');
      proxy.cutAt(/^INSERT INTO effects/, 'after');
      t.not((await ask()).code, status.OK);
      t.deepEqual(guardOnly.takeUnhandled(), []);
      await observed.expire();
      t.like(await insist(ask), { code: status.OK, replayed: false });
      t.is(await observed.effects(), 1);
    },
  );

  for (const when of ['before', 'after'] as const) {
    concurrently(
      `postgres, ${method}: a connection that breaks ${when} the claim prevents the execution`,
      async (t) => {
        const { proxy, ask, ...observed } = await behindProxy(t, method, 'OK');
        proxy.cutAt(/INSERT INTO replay_guard_records/, when);
        const refused = await ask();
        assertRefused(t, refused, status.UNAVAILABLE, 'IDEMPOTENCY_STORE_UNAVAILABLE', 'RetryInfo');
        t.is(observed.executions(), 0);
        await observed.expire();
        t.like(await insist(ask), { code: status.OK, replayed: false });
        t.is(await observed.effects(), 1);
      },
    );

    for (const statement of [/^ROLLBACK$/, /^DELETE FROM replay_guard_records/]) {
      // In a TRANSACTION the ROLLBACK releases the claim, and no DELETE is sent.
      if (method === 'append' && statement.test('DELETE FROM replay_guard_records')) continue;
      const what = String(statement.exec('ROLLBACK') ?? 'DELETE');
      concurrently(
        `postgres, ${method}: a released key becomes free when the connection breaks ${when} the ${what}`,
        async (t) => {
          const { proxy, ask, ...observed } = await behindProxy(t, method, 'ABORTED once');
          proxy.cutAt(statement, when);
          t.is((await ask()).code, status.ABORTED);
          t.is(proxy.cuts, 1);
          await observed.expire();
          const retry = await insist(ask);
          t.like(retry, { code: status.OK, replayed: false });
          t.like(await ask(), { replayed: true, bytes: retry.bytes });
          t.is(observed.executions(), 2);
          t.is(await observed.effects(), 1);
        },
      );
    }
  }
}
