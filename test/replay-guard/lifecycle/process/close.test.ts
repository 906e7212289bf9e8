import { status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { createReplayGuard, singleTenant } from 'grpc-replay-guard';
import { createMemoryStore } from 'grpc-replay-guard/memory';
import type { Claim, ClaimRequest, OpenStore } from 'grpc-replay-guard/store';
import { assertRefused } from '../../../helpers/calls/assert-refused.js';
import { emptiedData } from '../../../helpers/databases/emptied-data.js';
import { engines } from '../../../helpers/databases/engines.js';
import {
  type Ledger,
  methods,
  onBoth,
  openLedger,
  writeEffect,
} from '../../../helpers/servers/guarded-ledger.js';
import { captureUnhandledErrors } from '../../../helpers/servers/unhandled-errors.js';
import { PassingStore } from '../../../helpers/stores/passing-store.js';
import { Barrier } from '../../../helpers/waiting/barrier.js';
import { poll } from '../../../helpers/waiting/poll.js';

const guardOnly = captureUnhandledErrors(test);
const emptied = emptiedData(test);

/** A limit that no test reaches while its handlers are expected to end. */
const LONG_MS = 60_000;
/** How long `close` may take after its time limit, in milliseconds, with a margin for a slow machine. */
const BOUND_MS = 5_000;

for (const engine of engines) {
  for (const method of methods) {
    test.serial(
      `${engine}, ${method}: close rolls back a handler that never ends, and a retry executes at once`,
      async (t) => {
        const data = await emptied(t, engine);
        const barrier = new Barrier();
        const ledger = await openLedger(t, data, {
          handlers: (database) =>
            onBoth(async (account) => {
              await writeEffect(database, account);
              await barrier.pass();
              // The transaction of the execution has ended, so this write rejects after the close.
              await writeEffect(database, account);
            }),
        });
        const reply = ledger.ask(method, 'key', 'first');
        await barrier.reached();
        t.deepEqual(await ledger.guard.close({ timeoutMs: 1 }), { stopped: 1, unfinished: 0 });
        assertRefused(t, await reply, status.UNAVAILABLE, 'IDEMPOTENCY_LEASE_LOST', 'RetryInfo');
        const later = await ledger.ask(method, 'other');
        assertRefused(t, later, status.UNAVAILABLE, 'IDEMPOTENCY_STORE_UNAVAILABLE', 'RetryInfo');
        const next = await openLedger(t, data, {});
        t.like(await next.ask(method, 'key', 'first'), { code: status.OK, replayed: false });
        barrier.open();
        await ledger.outcomes.reached('refused', 1);
        t.deepEqual(await next.effects(), ['first']);
        t.deepEqual(guardOnly.takeUnhandled(), []);
      },
    );
  }
}

type Hanging = 'claim' | 'complete' | 'release' | 'purge';

/** A store that answers one kind of request only after the test opens the gate. */
class HangingStore extends PassingStore {
  readonly gate = new Barrier();
  readonly #hanging: Hanging;

  constructor(hanging: Hanging) {
    super(createMemoryStore());
    this.#hanging = hanging;
  }

  async #pass(what: Hanging): Promise<void> {
    if (what === this.#hanging) await this.gate.pass();
  }

  override async claim(request: ClaimRequest) {
    await this.#pass('claim');
    const result = await super.claim(request);
    return result.outcome === 'claimed' ? { ...result, claim: this.#slow(result.claim) } : result;
  }

  override async purge(limit: number, after?: string) {
    await this.#pass('purge');
    return super.purge(limit, after);
  }

  #slow(claim: Claim): Claim {
    return {
      ...{ takenOver: claim.takenOver, expiresAtMs: claim.expiresAtMs, lost: claim.lost },
      run: (work, onLost) => claim.run(work, onLost),
      complete: (reply) => this.#pass('complete').then(() => claim.complete(reply)),
      fail: (reply) => claim.fail(reply),
      release: () => this.#pass('release').then(() => claim.release()),
      renew: () => claim.renew(),
    };
  }
}

function openHanging(t: ExecutionContext, store: HangingStore, never: Barrier): Promise<Ledger> {
  const handlers = () =>
    onBoth(async (account, callback) => {
      if (account === 'never') await never.pass();
      callback(null, { entryId: account, transferId: account });
    });
  return openLedger(t, 'memory', { opened: { store } as unknown as OpenStore, handlers });
}

for (const hanging of ['claim', 'complete', 'release'] as const) {
  test.serial(`close ends in time although the store does not answer: ${hanging}`, async (t) => {
    const [store, never] = [new HangingStore(hanging), new Barrier()];
    const ledger = await openHanging(t, store, never);
    const reply = ledger.append('key', { account: hanging === 'release' ? 'never' : 'ends' });
    await (hanging === 'release' ? never : store.gate).reached();
    const begun = performance.now();
    const stopped = hanging === 'release' ? 1 : 0;
    t.deepEqual(await ledger.guard.close({ timeoutMs: 1 }), { stopped, unfinished: 1 });
    t.true(performance.now() - begun < BOUND_MS);
    store.gate.open();
    never.open();
    const { code } = await reply;
    // A claim that is granted after the close does not execute.
    t.is(code, hanging === 'complete' ? status.OK : status.UNAVAILABLE);
    t.is(ledger.entered, hanging === 'claim' ? 0 : 1);
    t.deepEqual(guardOnly.takeUnhandled(), []);
  });
}

test.serial('close ends in time although the store does not answer a purge', async (t) => {
  const store = new HangingStore('purge');
  const guard = createReplayGuard({ store, scope: singleTenant(), purgeEveryMs: 1 });
  await poll('the purge', () => store.gate.arrived > 0);
  const begun = performance.now();
  t.deepEqual(await guard.close({ timeoutMs: 1 }), { stopped: 0, unfinished: 0 });
  t.true(performance.now() - begun < BOUND_MS);
  store.gate.open();
});

test.serial(
  'in mode OBSERVE close ends in time although a handler never ends, and the call continues',
  async (t) => {
    const barrier = new Barrier();
    const ledger = await openLedger(t, 'memory', {
      guard: { mode: 'OBSERVE' },
      handlers: () =>
        onBoth(async (_account, callback) => barrier.pass().then(() => callback(null, { entryId: 'late' }))),
    });
    const reply = ledger.append('key');
    await barrier.reached();
    t.deepEqual(await ledger.guard.close({ timeoutMs: 1 }), { stopped: 0, unfinished: 0 });
    barrier.open();
    t.like(await reply, { code: status.OK, message: { entryId: 'late' } });
    t.is(await ledger.store.estimateRecords(), 0);
  },
);

test.serial(
  'close waits for handlers that end in time, and its later calls return the same promise',
  async (t) => {
    const barrier = new Barrier();
    const ledger = await openLedger(t, 'memory', {
      handlers: () => onBoth(async (_account, callback) => barrier.pass().then(() => callback(null, {}))),
    });
    const reply = ledger.append('key');
    await barrier.reached();
    const closed = ledger.guard.close({ timeoutMs: LONG_MS });
    t.is(ledger.guard.close({ timeoutMs: 1 }), closed);
    barrier.open();
    t.deepEqual(await closed, { stopped: 0, unfinished: 0 });
    t.is((await reply).code, status.OK);
  },
);

test('close refuses a time limit that is not a whole number of milliseconds, and unknown options', (t) => {
  const guard = createReplayGuard({ store: createMemoryStore(), scope: singleTenant() });
  t.teardown(() => guard.close());
  for (const timeoutMs of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31])
    t.throws(() => guard.close({ timeoutMs }), { instanceOf: TypeError, message: /timeoutMs must be/ });
  t.throws(() => guard.close({ graceMs: 1 } as object), { instanceOf: TypeError, message: /graceMs/ });
});
