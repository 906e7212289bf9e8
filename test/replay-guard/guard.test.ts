import { status } from '@grpc/grpc-js';
import test from 'ava';
import {
  type CallOutcome,
  createReplayGuard,
  type ObservedMethod,
  type ReplayGuardObserver,
  type ReplayGuardOptions,
  singleTenant,
} from 'grpc-replay-guard';
import { MemoryStore } from 'grpc-replay-guard/memory';
import { onBoth, openLedger } from '../helpers/servers/guarded-ledger.js';

const key = Buffer.alloc(32, 1);

const make = (options: object) =>
  createReplayGuard({ store: new MemoryStore(), scope: singleTenant(), ...options } as ReplayGuardOptions);

for (const [what, options, message] of [
  ['an option', { ttlMs: 60_000 }, /^createReplayGuard: unknown option ttlMs; its options are store, /],
  ['a quota', { quotas: { keysPerScope: 1 } }, /^quotas: unknown option keysPerScope; /],
  [
    'an option of the pepper',
    { pepper: { current: 'a', former: ['b'] } },
    /^pepper: unknown option former; /,
  ],
  [
    'an option of the cipher key',
    { cipherKey: { current: key, former: [key] } },
    /^cipherKey: unknown option former; /,
  ],
] as const) {
  test(`${what} with an unknown name is refused with a message that names it`, (t) => {
    t.throws(() => make(options), { instanceOf: TypeError, message });
  });
}

test('an observer method that is not a function is refused with a message that names it', (t) => {
  t.throws(() => make({ observer: { callEnded: true } }), { instanceOf: TypeError, message: /callEnded/ });
});

test('an observer with a single method receives its events, and the other events are dropped', async (t) => {
  class Ended implements Partial<ReplayGuardObserver> {
    readonly outcomes: CallOutcome[] = [];
    callEnded(_method: ObservedMethod, outcome: CallOutcome): void {
      this.outcomes.push(outcome);
    }
  }
  const observer = new Ended();
  const ledger = await openLedger(t, 'memory', {
    guard: { observer, purgeEveryMs: 5 },
    handlers: () => onBoth((_account, callback) => callback(null, {})),
  });
  for (const _ of [1, 2]) t.is((await ledger.append('key')).code, status.OK);
  t.deepEqual(observer.outcomes, ['executed', 'replayed']);
});
