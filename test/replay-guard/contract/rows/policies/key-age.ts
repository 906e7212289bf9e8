import { randomUUID } from 'node:crypto';
import { refusals } from '../../table/expected-result.js';
import { clocked, declare, everyKind, leaves, nothing, once, type Row, type Setup } from '../../table/row.js';
import type { Sent } from '../../table/row-run.js';
import { call, passes, replays } from '../../table/steps.js';

const { keyExpired } = refusals;
const minute = 60_000;
const day = 24 * 60 * minute;

/** A key that was made so long ago; in the future where that is negative. */
function v7(agoMs: number, version = 7): string {
  const time = (Date.now() - agoMs).toString(16).padStart(12, '0');
  return randomUUID().replace(/^.{8}-.{4}-4/, `${time.slice(0, 8)}-${time.slice(8)}-${version}`);
}

const hour = 60 * minute;
const old = { key: v7(day + hour) };
const fresh = { key: v7(minute) };
const ahead = { key: v7(-hour) };
const firstSent = (agoMs: number): Sent => ({
  metadata: (now) => ({ 'idempotency-first-sent': new Date(now - agoMs).toISOString() }),
});

const judged: Setup = {
  policy: { rejectOldKeys: true },
  declared: declare('reject_old_keys: true'),
};
const notJudged: Setup = {
  policy: { rejectOldKeys: false },
  declared: declare('reject_old_keys: false'),
};
/** The second server does not judge keys. */
const judgedAtOne: Setup = { policy: { rejectOldKeys: true }, methods: everyKind, second: { policies: {} } };

const executed = { leaves: once, counts: { executed: 1 } };
const refused = { leaves: nothing, counts: { expired: 1 } };

/** Section 4, `reject_old_keys`. */
export const keyAgeRows: readonly Row[] = [
  { line: 'by default an old UUIDv7 is a key like any other', steps: [call(old)], ...executed },
  { line: 'false: an old UUIDv7 is a key like any other', setup: notJudged, steps: [call(old)], ...executed },
  { line: 'false: so is one from the future', setup: notJudged, steps: [call(ahead)], ...executed },
  {
    line: 'true: a UUIDv7 older than the TTL and no record: refused',
    setup: judged,
    steps: [call(old, keyExpired), call({ key: old.key.toUpperCase() }, keyExpired)],
    leaves: nothing,
    counts: { expired: 2 },
  },
  {
    line: 'true: a UUIDv7 older than the TTL and a live record: answered',
    methods: everyKind,
    setup: judgedAtOne,
    steps: [call({ ...old, second: true }), replays(old)],
    leaves: once,
    counts: { executed: 1, replayed: 1 },
  },
  {
    line: 'true: a UUIDv7 from the future: refused',
    setup: judged,
    steps: [call(ahead, keyExpired)],
    ...refused,
  },
  {
    line: 'true: a fresh UUIDv7 is executed, and refused when its record has expired',
    places: clocked,
    setup: judged,
    steps: [call(fresh), replays(fresh), passes(day), call(fresh, keyExpired)],
    leaves: leaves('nothing', 1, 1),
    counts: { executed: 1, replayed: 1, expired: 1 },
  },
  {
    line: 'true: a UUID of another version says no time',
    setup: judged,
    steps: [call({ key: v7(day + hour, 4) }), call({ key: `${old.key}0` })],
    leaves: { records: ['completed', 'completed'], executions: 2, effects: 2 },
    counts: { executed: 2 },
  },
  {
    line: 'true: the key and the header are both judged',
    setup: judged,
    steps: [
      call({ ...old, ...firstSent(0) }, keyExpired),
      call({ ...fresh, ...firstSent(day + minute) }, keyExpired),
      call({ ...ahead, ...firstSent(0) }, keyExpired),
      call({ ...fresh, ...firstSent(-6 * minute) }, keyExpired),
      call({ ...fresh, ...firstSent(0) }),
    ],
    leaves: once,
    counts: { expired: 4, executed: 1 },
  },
];
