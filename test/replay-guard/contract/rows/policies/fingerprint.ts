import { refusals } from '../../table/expected-result.js';
import { declare, once, type Row, type Setup } from '../../table/row.js';
import type { Sent } from '../../table/row-run.js';
import { call, replays } from '../../table/steps.js';

const asks = (request: object): Sent => ({ request: { amountMinor: 1, ...request } });
const [early, late] = [{ booked: { seconds: 1 } }, { booked: { seconds: 2 } }];

const one: Setup = {
  policy: { fingerprintExcludes: ['booked'] },
  declared: declare('fingerprint_excludes: "booked"'),
};
const several: Setup = {
  policy: { fingerprintExcludes: ['booked', 'goods.quantity'] },
  declared: declare('fingerprint_excludes: ["booked", "goods.quantity"]'),
};

/** Section 4, `fingerprint_excludes`, and section 5, what makes requests equal. */
export const fingerprintRows: readonly Row[] = [
  {
    line: 'by default every field counts',
    steps: [call(asks(early)), call(asks(late), refusals.keyReused), call(asks({}), refusals.keyReused)],
    leaves: once,
    counts: { executed: 1, reused: 2 },
  },
  {
    line: 'map entries in another order, and defaults that are written out, are the same request',
    steps: [
      call(asks({ labels: { a: '1', b: '2' } })),
      replays(asks({ labels: { b: '2', a: '1' } })),
      replays(asks({ labels: { b: '2', a: '1' }, kind: 'KIND_UNSPECIFIED', tags: [], rate: 0 })),
    ],
    leaves: once,
    counts: { executed: 1, replayed: 2 },
  },
  {
    line: 'a field that is left out may differ, any other may not',
    setup: one,
    steps: [
      ...[call(asks(early)), replays(asks(late)), replays(asks({}))],
      call(asks({ ...early, note: 'another' }), refusals.keyReused),
    ],
    leaves: once,
    counts: { executed: 1, replayed: 2, reused: 1 },
  },
  {
    line: 'several fields, one of them a path',
    setup: several,
    steps: [
      call(asks({ ...early, goods: { sku: 'tea', quantity: 1 } })),
      replays(asks({ ...late, goods: { sku: 'tea', quantity: 2 } })),
      call(asks({ ...early, goods: { sku: 'oil', quantity: 1 } }), refusals.keyReused),
    ],
    leaves: once,
    counts: { executed: 1, replayed: 1, reused: 1 },
  },
];
