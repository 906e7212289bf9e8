import { setImmediate as nextTurn } from 'node:timers/promises';
import { status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import type { ReplayGuardOptions } from 'grpc-replay-guard';
import {
  CommitInDoubtError,
  ContentionError,
  DatabaseReadOnlyError,
  DatabaseUnavailableError,
  LockTimeoutError,
  NoConnectionError,
} from 'grpc-replay-guard/database';
import { MemoryStore } from 'grpc-replay-guard/memory';
import type { ClaimResult, OpenStore } from 'grpc-replay-guard/store';
import { assertRefused } from '../../helpers/calls/assert-refused.js';
import { openLedger } from '../../helpers/servers/guarded-ledger.js';
import { PassingStore } from '../../helpers/stores/passing-store.js';
import { Barrier } from '../../helpers/waiting/barrier.js';
import { poll } from '../../helpers/waiting/poll.js';

const FAILURES = 5;

/** A store that fails while `failure` is set. */
class FailingStore extends PassingStore {
  failure: Error | undefined = new DatabaseUnavailableError('on purpose');
  claims = 0;
  pings = 0;
  /** Claims wait here before they fail. */
  gate: Barrier | undefined;

  constructor() {
    super(new MemoryStore());
  }

  override async claim(request: never): Promise<ClaimResult> {
    this.claims++;
    const { failure, gate } = this;
    await gate?.pass();
    if (failure) throw failure;
    return super.claim(request);
  }

  override async ping() {
    this.pings++;
    if (this.failure) throw this.failure;
  }
}

async function open(t: ExecutionContext, guard: Partial<ReplayGuardOptions> = {}) {
  const store = new FailingStore();
  const ledger = await openLedger(t, 'memory', {
    opened: { store } as unknown as OpenStore,
    guard,
  });
  const ask = async (count: number) => {
    for (let i = 0; i < count; i++) await ledger.append(`key-${i}`);
  };
  return { store, ledger, ask, circuit: ledger.outcomes.circuit };
}

test('the circuit opens at the fifth consecutive failure, and a success restarts the count', async (t) => {
  const { store, ask, circuit } = await open(t);
  await ask(FAILURES - 1);
  const { failure } = store;
  store.failure = undefined;
  await ask(1);
  store.failure = failure;
  await ask(FAILURES - 1);
  t.deepEqual(circuit, []);
  await ask(1);
  t.deepEqual(circuit, [true]);
  const { claims } = store;
  await ask(10);
  t.is(store.claims, claims);
});

test('a failed probe keeps the circuit open, and a successful probe closes it', async (t) => {
  const { store, ledger, ask, circuit } = await open(t);
  await ask(FAILURES);
  await poll('a probe', () => store.pings >= 1);
  await nextTurn();
  t.deepEqual(circuit, [true]);
  store.failure = undefined;
  await poll('the circuit is closed', () => circuit.length === 2);
  t.like(await ledger.append('key'), { code: status.OK });
  const { pings } = store;
  await ask(3);
  t.is(store.pings, pings, 'a closed circuit does not probe');
});

const harmless = [
  new ContentionError('on purpose'),
  new LockTimeoutError('on purpose'),
  new NoConnectionError('on purpose'),
  new Error('on purpose'),
  sqlError('40001'),
];
for (const failure of harmless) {
  const name = 'code' in failure ? failure.code : failure.name;
  test(`${name}: a store that answers with this error does not open the circuit`, async (t) => {
    const { store, ledger, ask, circuit } = await open(t);
    store.failure = failure;
    await ask(FAILURES + 1);
    t.is(store.claims, FAILURES + 1);
    t.deepEqual(circuit, []);
    t.is(ledger.entered, 0, 'every call is refused');
  });
}

const outages = [
  new CommitInDoubtError('on purpose'),
  new DatabaseReadOnlyError('on purpose'),
  // An error of another copy of this library.
  Object.assign(new Error('on purpose'), { code: 'REPLAY_GUARD_DATABASE_UNAVAILABLE' }),
  sqlError('42P01'),
  Object.assign(new Error('on purpose'), { code: 'SQLITE_ERROR' }),
];
for (const failure of outages) {
  test(`${failure.code}: claims that fail with this error open the circuit`, async (t) => {
    const { store, ledger, ask, circuit } = await open(t);
    Object.assign(store, { failure });
    await ask(FAILURES);
    t.deepEqual(circuit, [true]);
    t.is(ledger.entered, 0, 'every call is refused');
  });
}

test('while claims are refused, completed keys replay and other keys are refused', async (t) => {
  const { store, ledger, ask, circuit } = await open(t);
  store.failure = undefined;
  const first = await ledger.append('done');
  store.failure = new DatabaseReadOnlyError('on purpose');
  // The first claims fail, the later ones meet an open circuit.
  for (const _ of Array(FAILURES + 2).keys())
    t.like(await ledger.append('done'), { code: status.OK, replayed: true, bytes: first.bytes });
  t.deepEqual(circuit, [true]);
  const other = await ledger.append('done', { account: 'other' });
  assertRefused(t, other, status.FAILED_PRECONDITION, 'IDEMPOTENCY_KEY_REUSED');
  await ask(1);
  t.is(ledger.entered, 1);
  const refused = await ledger.append('new');
  assertRefused(t, refused, status.UNAVAILABLE, 'IDEMPOTENCY_STORE_UNAVAILABLE', 'RetryInfo');
  t.regex(refused.details, /read-only/);
});

test('policy EXECUTE replays completed keys, and refuses keys while the store is only busy', async (t) => {
  const { store, ledger } = await open(t, {
    policies: { '/test.v1.LedgerService/Append': { onStoreFailure: 'EXECUTE' } },
  });
  store.failure = undefined;
  const first = await ledger.append('done');
  store.failure = new DatabaseReadOnlyError('on purpose');
  t.like(await ledger.append('done'), { replayed: true, bytes: first.bytes });
  t.like(await ledger.append('new'), { code: status.OK, replayed: false });
  t.is(ledger.outcomes.unguarded, 1);
  for (const failure of [new NoConnectionError('on purpose'), new LockTimeoutError('on purpose')]) {
    store.failure = failure;
    const refused = await ledger.append('busy');
    assertRefused(t, refused, status.UNAVAILABLE, 'IDEMPOTENCY_STORE_UNAVAILABLE', 'RetryInfo');
  }
  t.is(ledger.entered, 2);
});

test('concurrent failures open the circuit once, and failures of earlier calls do not open it again', async (t) => {
  const { store, ledger, circuit } = await open(t);
  const [early, late] = [new Barrier(), new Barrier()];
  const start = (gate: Barrier, name: string) => {
    store.gate = gate;
    const calls = Array.from({ length: 3 * FAILURES }, (_, i) => ledger.append(`${name}-${i}`));
    return gate.reached(3 * FAILURES).then(() => calls);
  };
  const [first, second] = [await start(early, 'early'), await start(late, 'late')];
  early.open();
  for (const reply of await Promise.all(first)) t.is(reply.code, status.UNAVAILABLE);
  t.deepEqual(circuit, [true]);
  Object.assign(store, { failure: undefined, gate: undefined });
  await poll('the circuit is closed', () => circuit.length === 2);
  late.open();
  for (const reply of await Promise.all(second)) t.is(reply.code, status.UNAVAILABLE);
  t.deepEqual(circuit, [true, false]);
  t.like(await ledger.append('key'), { code: status.OK });
});

test('a closed guard sends no probes', async (t) => {
  const [closing, other] = [await open(t), await open(t)];
  for (const { ask } of [closing, other]) await ask(FAILURES);
  await closing.ledger.guard.close();
  // The circuit of the other guard opened later, so its first probe is later too.
  await poll('the other guard sends a probe', () => other.store.pings >= 1);
  t.is(closing.store.pings, 0);
});

/** An error in the form in which Postgres sends it. */
function sqlError(code: string): Error & { readonly code: string } {
  return Object.assign(new Error('on purpose'), { code, severity: 'ERROR' });
}
