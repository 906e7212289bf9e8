import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { type ClientHttp2Stream, connect, type OutgoingHttpHeaders } from 'node:http2';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { type ReplayGuardOptions, scopeFromMetadata, stableId } from 'grpc-replay-guard';
import { MemoryStore } from 'grpc-replay-guard/memory';
import type { ClaimRequest } from 'grpc-replay-guard/store';
import type { CallSettings } from '../../helpers/calls/call.js';
import { sequenceSettings } from '../../helpers/calls/sequence-settings.js';
import { emptiedData } from '../../helpers/databases/emptied-data.js';
import { engines } from '../../helpers/databases/engines.js';
import { type Ledger, methods, onBoth, openLedger } from '../../helpers/servers/guarded-ledger.js';
import { PassingStore } from '../../helpers/stores/passing-store.js';
import { Barrier } from '../../helpers/waiting/barrier.js';
import { poll } from '../../helpers/waiting/poll.js';

const emptied = emptiedData(test);
const [one, two] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)];

const append = (ledger: Ledger, sequence: number, epoch?: number, producer = 'producer') =>
  ledger.append(undefined, { account: 'alice' }, sequenceSettings(producer, sequence, epoch));
const both = {
  append: (ledger: Ledger, settings: CallSettings) => ledger.append(undefined, { account: 'a' }, settings),
  transfer: (ledger: Ledger, settings: CallSettings) => ledger.transfer(undefined, { from: 'a' }, settings),
};
const reasonOf = ({ statusDetails }: Awaited<ReturnType<typeof append>>) => statusDetails?.errorInfo?.reason;

/** The settings before and with a rotation of secrets. */
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
    test.serial(`${engine}, ${rotation}: a series goes on under its own id`, async (t) => {
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

  test.serial(`${engine}: an encrypted reply opens in its own place only`, async (t) => {
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
  });

  test.serial(`${engine}: neither the producer nor what it asks for is in the database`, async (t) => {
    const secrets = { pepper: 'pepper', cipherKey: one, scope: scopeFromMetadata('x-scope') };
    const ledger = await openLedger(t, await emptied(t, engine), { guard: secrets });
    const [producer, scope, account] = ['the producer that makes it', 'the scope of it', 'the account in it'];
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
  });

  test.serial(`${engine}: a database from before there were series is brought up to date`, async (t) => {
    const data = await emptied(t, engine);
    const old = await openLedger(t, data);
    const kept = await old.append('key', { account: 'alice' });
    await old.database.query('DROP TABLE replay_guard_producers');
    await old.database.query(
      "UPDATE replay_guard_schema SET version = 3 WHERE component = 'grpc-replay-guard'",
    );
    const ledger = await openLedger(t, data);
    t.like(await ledger.append('key', { account: 'alice' }), { bytes: kept.bytes, replayed: true });
    t.is((await append(ledger, 0)).code, status.OK);
    t.true((await append(ledger, 0)).replayed);
  });
}

test('stable ids follow from the place in the series', async (t) => {
  const seen: string[] = [];
  const ledger = await openLedger(t, 'memory', {
    handlers: () =>
      onBoth((_account, callback) => {
        seen.push(stableId('order'));
        // Released, so that the same place executes again.
        callback({ code: status.UNAVAILABLE });
      }),
  });
  const places = [
    sequenceSettings('p', 0),
    sequenceSettings('p', 0),
    sequenceSettings('p', 1),
    sequenceSettings('p', 0, 1),
    sequenceSettings('q', 0),
  ];
  for (const method of methods) for (const place of places) await both[method](ledger, place);
  t.is(seen.length, 10);
  t.is(seen[0], seen[1]);
  t.is(new Set(seen).size, 8);
});

/** Tells the answer to a claim of one sequence only when the test lets it. */
class SlowClaim extends PassingStore {
  readonly barrier = new Barrier();

  override async claim(request: ClaimRequest) {
    const result = await super.claim(request);
    if (request.series?.sequence === 2n && result.outcome === 'gap') await this.barrier.pass();
    return result;
  }
}

test('a call that has overtaken the one before it asks again', async (t) => {
  const store = new SlowClaim(new MemoryStore());
  const held = new Barrier();
  const ledger = await openLedger(t, 'memory', {
    guard: { store },
    handlers: () =>
      onBoth(async (account, callback) => {
        if (account === 'held') await held.pass();
        callback(null, {});
      }),
  });
  const producer = randomUUID();
  const call = (sequence: number, account = '') =>
    ledger.append(undefined, { account }, sequenceSettings(producer, sequence));
  await call(0);
  const second = call(2);
  await store.barrier.reached();
  const first = call(1, 'held');
  await held.reached();
  store.barrier.open();
  held.open();
  t.deepEqual([(await first).code, (await second).code], [status.OK, status.OK]);
  t.is(ledger.outcomes.count('executed'), 3);
});

test('calls of a producer go on in the order in which they came, whoever’s identity is known first', async (t) => {
  const all = new Barrier();
  let asked = 0;
  /** The last is known first, and the others when it would have gone to the store long since. */
  const scope: ReplayGuardOptions['scope'] = async ({ metadata }) => {
    const turns = (5 - Number(metadata.get('idempotency-sequence').join())) * 20;
    if (++asked === 6) all.open();
    if (asked > 1) await all.pass();
    for (let turn = 0; turn < turns; turn++) await nextTurn();
    return 'tenant';
  };
  const ledger = await openLedger(t, 'memory', { guard: { scope } });
  await append(ledger, 0);
  const replies = await Promise.all([1, 2, 3, 4, 5].map((sequence) => append(ledger, sequence)));
  for (const reply of replies) t.like(reply, { code: status.OK, replayed: false });
});

test('a long request keeps its place before short ones that were sent after it', async (t) => {
  const ledger = await openLedger(t, 'memory');
  await append(ledger, 0);
  // Longer than what may be under way on a connection, so that its end comes after theirs.
  const long = ledger.append(undefined, { account: 'a'.repeat(1_000_000) }, sequenceSettings('producer', 1));
  const replies = await Promise.all([long, ...[2, 3, 4].map((sequence) => append(ledger, sequence))]);
  for (const reply of replies) t.like(reply, { code: status.OK, replayed: false });
});

/** Calls over one connection whose requests end when the test says so. */
const openRequests = (t: ExecutionContext, ledger: Ledger) => {
  const http = connect(`http://${ledger.server.address}`);
  t.teardown(() => http.destroy());
  const begin = (sequence: number, headers: OutgoingHttpHeaders = {}) =>
    http
      .request({
        ...{ ':method': 'POST', ':path': ledger.definition.Append.path },
        ...{ 'content-type': 'application/grpc', te: 'trailers' },
        ...{ ...sequenceSettings('producer', sequence).metadata, ...headers },
      })
      .on('error', () => {});
  const codeOf = async (stream: ClientHttp2Stream) => {
    const [headers] = await once(stream, 'response');
    stream.resume();
    return Number(headers['grpc-status'] ?? status.OK);
  };
  const end = (stream: ClientHttp2Stream) => codeOf(stream.end(Buffer.alloc(5)));
  return { begin, codeOf, end };
};

test('a request that never ends holds up those behind it for a while only', async (t) => {
  const ledger = await openLedger(t, 'memory');
  const { begin, end } = openRequests(t, ledger);
  t.is(await end(begin(0)), status.OK);
  begin(1);
  t.is(await end(begin(2)), status.FAILED_PRECONDITION);
  t.is(await end(begin(1)), status.OK);
  t.is(ledger.entered, 2);
});

test('nor does it hold up for ever those that are given up sooner', async (t) => {
  const ledger = await openLedger(t, 'memory');
  const { begin, end } = openRequests(t, ledger);
  t.is(await end(begin(0)), status.OK);
  begin(1);
  const isOver = async () => (await end(begin(2, { 'grpc-timeout': '400m' }))) === status.FAILED_PRECONDITION;
  await poll('the call that never ends is passed', isOver);
  t.is(ledger.entered, 1);
});

test('a call that is given up has nobody pass the one before it', async (t) => {
  const ledger = await openLedger(t, 'memory');
  const { begin, codeOf, end } = openRequests(t, ledger);
  t.is(await end(begin(0)), status.OK);
  const long = begin(1);
  t.is(await codeOf(begin(2, { 'grpc-timeout': '1m' })), status.DEADLINE_EXCEEDED);
  const [again, behind] = [end(begin(2)), end(begin(3))];
  // In the order in which they were sent: their ends are there when this is answered.
  await end(begin(0, { 'idempotency-producer': 'another' }));
  t.is(await end(long), status.OK);
  t.deepEqual(await Promise.all([again, behind]), [status.OK, status.OK]);
});

test('a producer whose caller is not known holds up nobody', async (t) => {
  const scope: ReplayGuardOptions['scope'] = async ({ metadata }) => {
    if (metadata.get('idempotency-sequence').join() === '1') throw new Error('a token of somebody else');
    return 'tenant';
  };
  const ledger = await openLedger(t, 'memory', { guard: { scope } });
  const replies = await Promise.all([0, 1, 2].map((sequence) => append(ledger, sequence)));
  t.deepEqual(replies.map(reasonOf), [undefined, 'IDEMPOTENCY_SCOPE_MISSING', 'IDEMPOTENCY_SEQUENCE_GAP']);
});

test('a call whose caller takes long to be known holds up those behind it for a while only', async (t) => {
  const known = new Barrier();
  const scope: ReplayGuardOptions['scope'] = async ({ metadata }) => {
    if (metadata.get('idempotency-sequence').join() === '1') await known.pass();
    return 'tenant';
  };
  const ledger = await openLedger(t, 'memory', { guard: { scope } });
  await append(ledger, 0);
  const first = append(ledger, 1);
  t.is(reasonOf(await append(ledger, 2)), 'IDEMPOTENCY_SEQUENCE_GAP');
  known.open();
  t.is((await first).code, status.OK);
});

test('a call whose caller is known when the guard has closed is refused', async (t) => {
  const known = new Barrier();
  const scope: ReplayGuardOptions['scope'] = async () => known.pass().then(() => 'tenant');
  const ledger = await openLedger(t, 'memory', { guard: { scope } });
  const late = append(ledger, 0);
  await known.reached();
  await ledger.guard.close();
  known.open();
  t.is(reasonOf(await late), 'IDEMPOTENCY_STORE_UNAVAILABLE');
  t.is(ledger.entered, 0);
});

test('who leaves before its turn executes nothing', async (t) => {
  const barrier = new Barrier();
  let arrivals = 0;
  const ledger = await openLedger(t, 'memory', {
    handlers: () => onBoth(async (_account, callback) => barrier.pass().then(() => callback(null, {}))),
    guard: {
      scope: () => {
        arrivals++;
        return 'tenant';
      },
    },
  });
  const client = new AbortController();
  const first = append(ledger, 0);
  await barrier.reached();
  const second = ledger.append(undefined, {}, { ...sequenceSettings('producer', 1), signal: client.signal });
  await poll('the second call arrives', () => arrivals === 2);
  client.abort();
  t.is((await second).code, status.CANCELLED);
  await ledger.outcomes.reached('in_progress');
  barrier.open();
  t.is((await first).code, status.OK);
  t.is(ledger.entered, 1);
  t.is((await append(ledger, 1)).code, status.OK);
});

test('what is behind a call that has waited long enough is in progress too', async (t) => {
  const barrier = new Barrier();
  const ledger = await openLedger(t, 'memory', {
    handlers: () => onBoth(async (_account, callback) => barrier.pass().then(() => callback(null, {}))),
  });
  const first = append(ledger, 0);
  await barrier.reached();
  const { metadata } = sequenceSettings('producer', 1);
  // It waits a little less than that, and the others for longer.
  const second = ledger.append(undefined, {}, { metadata: { ...metadata, 'grpc-timeout': '1S' } });
  const behind = await Promise.all([second, append(ledger, 2), append(ledger, 3)]);
  barrier.open();
  t.deepEqual(
    behind.map(reasonOf),
    behind.map(() => 'IDEMPOTENCY_KEY_IN_PROGRESS'),
  );
  t.is((await first).code, status.OK);
  t.is(ledger.entered, 1);
});

test('a guard that closes sends waiting calls of a producer away', async (t) => {
  const barrier = new Barrier();
  const ledger = await openLedger(t, 'memory', {
    handlers: () => onBoth(async (_account, callback) => barrier.pass().then(() => callback(null, {}))),
    guard: { waitersPerKey: 1 },
  });
  const first = append(ledger, 0);
  await barrier.reached();
  const second = append(ledger, 1);
  // There is room for one.
  t.is(reasonOf(await append(ledger, 0)), 'IDEMPOTENCY_KEY_IN_PROGRESS');
  const closed = ledger.guard.close();
  t.is(reasonOf(await second), 'IDEMPOTENCY_KEY_IN_PROGRESS');
  barrier.open();
  t.is((await first).code, status.OK);
  await closed;
});
