import { setImmediate as nextTurn } from 'node:timers/promises';
import { status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { DatabaseUnavailableError, LockTimeoutError } from 'grpc-replay-guard/database';
import { MemoryStore } from 'grpc-replay-guard/memory';
import type { ClaimResult, OpenStore } from 'grpc-replay-guard/store';
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

async function open(t: ExecutionContext) {
  const store = new FailingStore();
  const ledger = await openLedger(t, 'memory', { opened: { store } as unknown as OpenStore });
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

for (const failure of [new LockTimeoutError('on purpose'), new Error('on purpose')]) {
  test(`${failure.name}: a store that answers with this error does not open the circuit`, async (t) => {
    const { store, ledger, ask, circuit } = await open(t);
    store.failure = failure;
    await ask(FAILURES + 1);
    t.is(store.claims, FAILURES + 1);
    t.deepEqual(circuit, []);
    t.is(ledger.entered, 0, 'every call is refused');
  });
}

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
