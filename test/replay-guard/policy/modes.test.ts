import { status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import {
  createReplayGuard,
  type GuardMode,
  type ModeSettings,
  type ReplayGuardOptions,
  singleTenant,
} from 'grpc-replay-guard';
import { MemoryStore } from 'grpc-replay-guard/memory';
import { UPLOAD, uploads } from '../../helpers/servers/feed.js';
import { onBoth, openLedger } from '../../helpers/servers/guarded-ledger.js';
import { loadLedger } from '../../helpers/servers/ledger.js';
import { Barrier } from '../../helpers/waiting/barrier.js';
import { poll } from '../../helpers/waiting/poll.js';

const [append, touch] = ['/test.v1.LedgerService/Append', '/test.v1.LedgerService/Touch'];

function guarded(t: ExecutionContext, options: Partial<ReplayGuardOptions> = {}) {
  const guard = createReplayGuard({ store: new MemoryStore(), scope: singleTenant(), ...options });
  t.teardown(() => guard.close());
  guard.protect(loadLedger());
  const modeOf = (path: string) => guard.methods().find((method) => method.path === path)?.mode;
  return { guard, modeOf };
}

/** The sources of a mode: the guard's options, the server setting, the policy, the method setting. */
interface Given {
  readonly start?: GuardMode;
  readonly server?: GuardMode;
  readonly policy?: GuardMode;
  readonly method?: GuardMode;
}

// Each of the first five rows adds a source that wins over the sources in the rows above.
const precedence: readonly (readonly [Given, GuardMode])[] = [
  [{}, 'ENFORCE'],
  [{ start: 'OFF' }, 'OFF'],
  [{ start: 'OFF', server: 'OBSERVE' }, 'OBSERVE'],
  [{ start: 'OFF', server: 'OBSERVE', policy: 'ENFORCE' }, 'ENFORCE'],
  [{ start: 'OFF', server: 'OBSERVE', policy: 'ENFORCE', method: 'OFF' }, 'OFF'],
  [{ start: 'OBSERVE', method: 'ENFORCE' }, 'ENFORCE'],
  [{ policy: 'OFF', server: 'OBSERVE' }, 'OFF'],
];

for (const [given, expected] of precedence) {
  test(`a method with the modes ${JSON.stringify(given)} is in mode ${expected}`, (t) => {
    const { start, server, policy, method } = given;
    const { guard, modeOf } = guarded(t, {
      ...(start && { mode: start }),
      ...(policy && { policies: { [append]: { mode: policy } } }),
    });
    guard.setModes({ ...(server && { server }), ...(method && { methods: { [append]: method } }) });
    t.is(modeOf(append), expected);
    t.is(modeOf(touch), server ?? start ?? 'ENFORCE', 'another method has the mode of the server');
  });
}

test('setModes replaces all earlier settings', (t) => {
  const { guard, modeOf } = guarded(t);
  guard.setModes({ server: 'OFF', methods: { [append]: 'OBSERVE' } });
  guard.setModes({ methods: { [touch]: 'OBSERVE' } });
  t.deepEqual([modeOf(append), modeOf(touch)], ['ENFORCE', 'OBSERVE']);
  guard.setModes({});
  t.deepEqual([modeOf(append), modeOf(touch)], ['ENFORCE', 'ENFORCE']);
});

const wrong: Record<string, readonly [object, RegExp]> = {
  'an unknown mode of the server': [{ server: 'ON', methods: { [append]: 'OFF' } }, /server.*not ON/],
  'an unknown mode of a method': [{ server: 'OFF', methods: { [touch]: 'off' } }, /Touch.*not off/],
  'a mode that is null': [{ methods: { [touch]: null } }, /Touch.*not null/],
  'an unknown method': [{ methods: { [append]: 'OFF', '/no.Such/Method': 'OFF' } }, /no\.Such\/Method/],
  'a method of the prototype': [{ methods: { toString: 'OFF' } }, /toString/],
  'a misspelt setting': [
    { servre: 'OFF' },
    /^setModes: unknown option servre; its options are server, methods$/,
  ],
};

for (const [title, [settings, message]] of Object.entries(wrong)) {
  test(`setModes refuses ${title} and changes no mode`, (t) => {
    const { guard, modeOf } = guarded(t);
    guard.setModes({ methods: { [append]: 'OBSERVE' } });
    const before = guard.methods();
    t.throws(() => guard.setModes(settings as ModeSettings), { instanceOf: TypeError, message });
    t.deepEqual(guard.methods(), before);
    t.is(modeOf(append), 'OBSERVE');
  });
}

test('changing the settings object after setModes changes no mode', (t) => {
  const { guard, modeOf } = guarded(t);
  const methods: Record<string, GuardMode> = { [append]: 'OBSERVE' };
  guard.setModes({ methods });
  methods[append] = 'OFF';
  t.is(modeOf(append), 'OBSERVE');
});

test('a method with a stream of requests is refused by protect and by setModes, unless its mode is OFF', (t) => {
  const atStart = guarded(t).guard;
  t.throws(() => atStart.protect(uploads), { instanceOf: TypeError, message: /Feed\/Upload.*stream/ });
  // The refused service is not part of the guard.
  t.notThrows(() => atStart.setModes({ server: 'OBSERVE' }));
  const { guard, modeOf } = guarded(t, { mode: 'OFF' });
  guard.protect(uploads);
  for (const settings of [
    { server: 'ENFORCE' },
    { server: 'OBSERVE' },
    { methods: { [UPLOAD]: 'OBSERVE', [append]: 'ENFORCE' } },
  ] as const) {
    t.throws(() => guard.setModes(settings), { instanceOf: TypeError, message: /Feed\/Upload.*stream/ });
    t.is(modeOf(append), 'OFF');
  }
  guard.setModes({ server: 'ENFORCE', methods: { [UPLOAD]: 'OFF' } });
  t.is(modeOf(append), 'ENFORCE');
});

for (const [from, to] of [
  ['ENFORCE', 'OFF'],
  ['ENFORCE', 'OBSERVE'],
  ['OBSERVE', 'ENFORCE'],
  ['OFF', 'ENFORCE'],
] as const) {
  test(`a call that began in mode ${from} ends in mode ${from} after a change to ${to}`, async (t) => {
    const barrier = new Barrier();
    const ledger = await openLedger(t, 'memory', {
      guard: { mode: from },
      handlers: () =>
        onBoth(async (_account, callback) => {
          if (barrier.arrived === 0) await barrier.pass();
          callback(null, { entryId: `${ledger.entered}` });
        }),
    });
    const first = ledger.append('key');
    await barrier.reached();
    ledger.guard.setModes({ server: to });
    barrier.open();
    const replied = await first;
    t.like(replied, { code: status.OK, message: { entryId: '1' } });
    // In mode OBSERVE the guard sends the reply before it stores the record.
    if (from === 'OBSERVE') await poll('the record', () => ledger.outcomes.did('complete') === 1);
    t.is(ledger.outcomes.count('executed'), from === 'ENFORCE' ? 1 : 0);
    ledger.guard.setModes({ server: 'ENFORCE' });
    const again = await ledger.append('key');
    t.is(again.replayed, from !== 'OFF', 'a guarded call is recorded');
    if (from !== 'OFF') t.deepEqual(again.bytes, replied.bytes);
  });
}

test('mode OFF ignores a recorded key, and mode ENFORCE replays the key again', async (t) => {
  const ledger = await openLedger(t, 'memory');
  const first = await ledger.append('key');
  ledger.guard.setModes({ methods: { [append]: 'OFF' } });
  const unguarded = await ledger.append('key', { account: 'another payload' });
  t.like(unguarded, { code: status.OK, replayed: false });
  t.deepEqual(unguarded.trailers.get('idempotency-expires-at'), []);
  t.is(ledger.outcomes.ended.length, 1, 'the guard did not observe the unguarded call');
  ledger.guard.setModes({});
  t.like(await ledger.append('key'), { bytes: first.bytes, replayed: true });
  t.is(ledger.entered, 2);
});
