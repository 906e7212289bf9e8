import type { CallInput } from '../../table/call-input.js';
import { refusals } from '../../table/expected-result.js';
import { executedOnce, type Row } from '../../table/row.js';
import { declare, type Setup } from '../../table/setup.js';
import { call, replays } from '../../table/steps.js';

const withAmount = (request: object): CallInput => ({ request: { amountMinor: 1, ...request } });
const [early, late] = [{ booked: { seconds: 1 } }, { booked: { seconds: 2 } }];

const one: Setup = {
  policy: { fingerprintExcludes: ['booked'] },
  declared: declare('fingerprint_excludes: "booked"'),
};
const several: Setup = {
  policy: { fingerprintExcludes: ['booked', 'goods.quantity'] },
  declared: declare('fingerprint_excludes: ["booked", "goods.quantity"]'),
};

/** The policy field `fingerprint_excludes`, and the equality of requests. */
export const fingerprintRows: readonly Row[] = [
  {
    title: 'by default every field counts: a request that differs in one field is refused as reused',
    steps: [
      call(withAmount(early)),
      call(withAmount(late), refusals.keyReused),
      call(withAmount({}), refusals.keyReused),
    ],
    final: executedOnce,
    counts: { executed: 1, reused: 2 },
  },
  {
    title: 'another order of map entries, or explicit default values, make an equal request',
    steps: [
      call(withAmount({ labels: { a: '1', b: '2' } })),
      replays(withAmount({ labels: { b: '2', a: '1' } })),
      replays(withAmount({ labels: { b: '2', a: '1' }, kind: 'KIND_UNSPECIFIED', tags: [], rate: 0 })),
    ],
    final: executedOnce,
    counts: { executed: 1, replayed: 2 },
  },
  {
    title: 'an excluded field may differ, and a difference in another field is refused',
    setup: one,
    steps: [
      ...[call(withAmount(early)), replays(withAmount(late)), replays(withAmount({}))],
      call(withAmount({ ...early, note: 'another' }), refusals.keyReused),
    ],
    final: executedOnce,
    counts: { executed: 1, replayed: 2, reused: 1 },
  },
  {
    title:
      'several excluded fields, also on a nested path, may differ, and a difference in another field is refused',
    setup: several,
    steps: [
      call(withAmount({ ...early, goods: { sku: 'tea', quantity: 1 } })),
      replays(withAmount({ ...late, goods: { sku: 'tea', quantity: 2 } })),
      call(withAmount({ ...early, goods: { sku: 'oil', quantity: 1 } }), refusals.keyReused),
    ],
    final: executedOnce,
    counts: { executed: 1, replayed: 1, reused: 1 },
  },
];
