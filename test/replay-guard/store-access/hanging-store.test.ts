import { status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import type { ReplayGuardOptions } from 'grpc-replay-guard';
import { createReplayGuard, singleTenant } from 'grpc-replay-guard';
import { MemoryStore } from 'grpc-replay-guard/memory';
import type { Claim, OpenStore } from 'grpc-replay-guard/store';
import type { MaybePromise } from '#library/timing/maybe-promise.js';
import { assertRefused } from '../../helpers/calls/assert-refused.js';
import { onBoth, openLedger } from '../../helpers/servers/guarded-ledger.js';
import { PassingStore } from '../../helpers/stores/passing-store.js';
import { Barrier } from '../../helpers/waiting/barrier.js';
import { poll } from '../../helpers/waiting/poll.js';

type Hanging = 'claim' | 'complete' | 'fail' | 'release' | 'ping' | 'purge' | 'estimateRecords';

/** A store in which some operations wait at a gate until the test opens it. */
class HangingStore extends PassingStore {
  readonly gate = new Barrier();
  readonly #hanging: Set<Hanging>;

  constructor(...hanging: Hanging[]) {
    super(new MemoryStore());
    this.#hanging = new Set(hanging);
  }

  async #wait(what: Hanging): Promise<void> {
    if (this.#hanging.has(what)) await this.gate.pass();
  }

  override async claim(request: never) {
    await this.#wait('claim');
    const result = await super.claim(request);
    return result.outcome === 'claimed' ? { ...result, claim: this.#slow(result.claim) } : result;
  }

  #slow(claim: Claim): Claim {
    const late =
      <A extends unknown[], R>(what: Hanging, act: (...given: A) => MaybePromise<R>) =>
      async (...given: A) => {
        await this.#wait(what);
        return act(...given);
      };
    return {
      ...{ takenOver: claim.takenOver, expiresAtMs: claim.expiresAtMs, lost: claim.lost },
      run: (work, onLost) => claim.run(work, onLost),
      complete: late('complete', (reply: Buffer) => claim.complete(reply)),
      fail: late('fail', (reply: Buffer) => claim.fail(reply)),
      release: late('release', () => claim.release()),
      renew: () => claim.renew(),
    };
  }

  override async ping() {
    await this.#wait('ping');
  }

  override async purge(limit: number, after?: string) {
    await this.#wait('purge');
    return super.purge(limit, after);
  }

  override async estimateRecords() {
    await this.#wait('estimateRecords');
    return super.estimateRecords();
  }
}

/** @param code the status of every answer of the handlers */
function open(
  t: ExecutionContext,
  store: HangingStore,
  code = status.OK,
  guard: Partial<ReplayGuardOptions> = {},
) {
  return openLedger(t, 'memory', {
    opened: { store } as unknown as OpenStore,
    guard: { storeTimeoutMs: 300, ...guard },
    handlers: () =>
      onBoth((_account, callback) => (code === status.OK ? callback(null, {}) : callback({ code }))),
  });
}

test('a call whose claim never returns is refused, and so are its duplicates', async (t) => {
  const store = new HangingStore('claim');
  const ledger = await open(t, store);
  const calls = Array.from({ length: 3 }, () => ledger.append('key'));
  const other = ledger.append('key', { account: 'another payload' });
  for (const reply of await Promise.all([...calls, other]))
    assertRefused(t, reply, status.UNAVAILABLE, 'IDEMPOTENCY_STORE_UNAVAILABLE', 'RetryInfo');
  t.is(ledger.entered, 0);
  // A claim that is granted after the time-out is released.
  store.gate.open();
  await poll('a claim is released', () => ledger.outcomes.did('release') >= 1);
  t.like(await ledger.append('key'), { code: status.OK, replayed: false });
  t.is(ledger.entered, 1);
});

test('a guard with a claim that never returns can be closed', async (t) => {
  const store = new HangingStore('claim');
  const ledger = await open(t, store);
  const call = ledger.append('key');
  await store.gate.reached();
  await ledger.guard.close();
  t.is((await call).code, status.UNAVAILABLE);
});

test('a probe that never returns is followed by further probes', async (t) => {
  const store = new HangingStore('claim', 'ping');
  const ledger = await open(t, store);
  await Promise.all(Array.from({ length: 5 }, (_, i) => ledger.append(`key-${i}`)));
  t.deepEqual(ledger.outcomes.circuit, [true]);
  await store.gate.reached(5 + 2);
  t.deepEqual(ledger.outcomes.circuit, [true]);
  store.gate.open();
  await poll('the circuit is closed', () => ledger.outcomes.circuit.length === 2);
  t.is((await ledger.append('key')).code, status.OK);
});

for (const [ending, code] of [
  ['complete', status.OK],
  ['fail', status.NOT_FOUND],
] as const) {
  test(`a ${ending} that never returns leaves the outcome unknown and the key claimed`, async (t) => {
    const store = new HangingStore(ending);
    const policies = { '/test.v1.LedgerService/Append': { waitMs: 0 } };
    const ledger = await open(t, store, code, { policies });
    const first = await ledger.append('key');
    assertRefused(t, first, status.UNAVAILABLE, 'IDEMPOTENCY_OUTCOME_UNKNOWN', 'RetryInfo');
    const second = await ledger.append('key');
    assertRefused(t, second, status.UNAVAILABLE, 'IDEMPOTENCY_KEY_IN_PROGRESS', 'RetryInfo');
    t.is(ledger.outcomes.did('release'), 0, 'a claim in doubt is never released');
    store.gate.open();
    await poll('the reply is stored', async () => (await ledger.append('key')).replayed);
    t.like(await ledger.append('key'), { code, replayed: true });
    t.is(ledger.entered, 1);
  });
}

test('a release that never returns does not delay the answer', async (t) => {
  const store = new HangingStore('release');
  const ledger = await open(t, store, status.ABORTED);
  t.is((await ledger.append('key')).code, status.ABORTED);
  store.gate.open();
});

for (const operation of ['purge', 'estimateRecords'] as const) {
  test(`a guard can be closed when ${operation} never returns`, async (t) => {
    const store = new HangingStore(operation);
    const guard = createReplayGuard({
      ...{ store, scope: singleTenant(), storeTimeoutMs: 300, purgeEveryMs: 10 },
    });
    await poll('the purge has started', () => store.gate.arrived > 0);
    await guard.close();
    t.is(store.gate.arrived, 1, 'no purge starts while another one hangs');
  });
}

for (const [name, values] of Object.entries({
  storeTimeoutMs: [0, -1, 1.5, Number.NaN, 2 ** 31, '1000'],
  purgeEveryMs: [0, Number.NaN, 2 ** 31],
  waiters: [0, -1, 0.5],
  waitersPerKey: [0, Number.POSITIVE_INFINITY],
})) {
  test(`${name} must be a whole number within its bounds`, (t) => {
    for (const value of values) {
      const options = { store: new MemoryStore(), scope: singleTenant(), [name]: value };
      t.throws(() => createReplayGuard(options as ReplayGuardOptions), {
        instanceOf: TypeError,
        message: new RegExp(name),
      });
    }
  });
}
