import { randomUUID } from 'node:crypto';
import type { CallInput } from '../../table/call-input.js';
import { refusals } from '../../table/expected-result.js';
import { executedOnce, finalState, noRecord, type Row } from '../../table/row.js';
import { clockedStores, declare, everyKind, type Setup } from '../../table/setup.js';
import { advance, call, replays } from '../../table/steps.js';

const { keyExpired } = refusals;
const minute = 60_000;
const day = 24 * 60 * minute;

/** Makes a UUID with a timestamp `agoMs` milliseconds ago. A negative value lies in the future. */
function v7(agoMs: number, version = 7): string {
  const time = (Date.now() - agoMs).toString(16).padStart(12, '0');
  return randomUUID().replace(/^.{8}-.{4}-4/, `${time.slice(0, 8)}-${time.slice(8)}-${version}`);
}

const hour = 60 * minute;
const oldKey = { key: v7(day + hour) };
const newKey = { key: v7(minute) };
const futureKey = { key: v7(-hour) };
const firstSent = (agoMs: number): CallInput => ({
  metadata: (now) => ({ 'idempotency-first-sent': new Date(now - agoMs).toISOString() }),
});

const checksKeyAge: Setup = {
  policy: { rejectOldKeys: true },
  declared: declare('reject_old_keys: true'),
};
const ignoresKeyAge: Setup = {
  policy: { rejectOldKeys: false },
  declared: declare('reject_old_keys: false'),
};
/** The second server does not check the age of keys. */
const checksKeyAgeAtOne: Setup = {
  policy: { rejectOldKeys: true },
  methods: everyKind,
  second: { policies: {} },
};

const executed = { final: executedOnce, counts: { executed: 1 } };
const refused = { final: noRecord, counts: { expired: 1 } };

/** The policy field `reject_old_keys`. */
export const keyAgeRows: readonly Row[] = [
  { title: 'false by default: an old UUIDv7 executes', steps: [call(oldKey)], ...executed },
  {
    title: 'if false, an old UUIDv7 executes',
    setup: ignoresKeyAge,
    steps: [call(oldKey)],
    ...executed,
  },
  {
    title: 'if false, a UUIDv7 from the future executes',
    setup: ignoresKeyAge,
    steps: [call(futureKey)],
    ...executed,
  },
  {
    title: 'if true, a UUIDv7 older than the TTL, without a record, is refused as expired',
    setup: checksKeyAge,
    steps: [call(oldKey, keyExpired), call({ key: oldKey.key.toUpperCase() }, keyExpired)],
    final: noRecord,
    counts: { expired: 2 },
  },
  {
    title: 'if true, a UUIDv7 older than the TTL, with a live record, replays',
    methods: everyKind,
    setup: checksKeyAgeAtOne,
    steps: [call({ ...oldKey, second: true }), replays(oldKey)],
    final: executedOnce,
    counts: { executed: 1, replayed: 1 },
  },
  {
    title: 'if true, a UUIDv7 from the future is refused as expired',
    setup: checksKeyAge,
    steps: [call(futureKey, keyExpired)],
    ...refused,
  },
  {
    title: 'if true, a new UUIDv7 executes, and is refused after the expiry of its record',
    stores: clockedStores,
    setup: checksKeyAge,
    steps: [call(newKey), replays(newKey), advance(day), call(newKey, keyExpired)],
    final: finalState('no record', 1, 1),
    counts: { executed: 1, replayed: 1, expired: 1 },
  },
  {
    title: 'if true, a UUID of another version has no age and executes',
    setup: checksKeyAge,
    steps: [call({ key: v7(day + hour, 4) }), call({ key: `${oldKey.key}0` })],
    final: { records: ['completed', 'completed'], executions: 2, effects: 2 },
    counts: { executed: 2 },
  },
  {
    title: 'if true, a call is refused if its key or its first-sent time is too old or in the future',
    setup: checksKeyAge,
    steps: [
      call({ ...oldKey, ...firstSent(0) }, keyExpired),
      call({ ...newKey, ...firstSent(day + minute) }, keyExpired),
      call({ ...futureKey, ...firstSent(0) }, keyExpired),
      call({ ...newKey, ...firstSent(-6 * minute) }, keyExpired),
      call({ ...newKey, ...firstSent(0) }),
    ],
    final: executedOnce,
    counts: { expired: 4, executed: 1 },
  },
];
