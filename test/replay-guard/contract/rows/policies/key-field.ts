import { ok, refusals, unguarded } from '../../table/expected-result.js';
import { declare, leaves, nothing, once, type Row, type Setup } from '../../table/row.js';
import type { Sent } from '../../table/row-run.js';
import { call, replays } from '../../table/steps.js';

const { fieldInvalid, keyInvalid, keyMissing, keyReused } = refusals;

const flat: Setup = {
  policy: { keyField: 'note' },
  declared: declare('key_field: "note"'),
};
const nested: Setup = {
  policy: { keyField: 'goods.sku' },
  declared: declare('key_field: "goods.sku"'),
};
const optional: Setup = {
  policy: { keyField: 'note', key: 'OPTIONAL' },
  declared: `option idempotency_level = IDEMPOTENT; ${declare('key_field: "note"')}`,
};

const inField: Sent = { key: null, asks: 'field-1', request: { note: 'field-1' } };
const inBoth: Sent = { key: 'field-1', request: { note: 'field-1' } };
const differing: Sent = { key: 'field-1', request: { note: 'field-2' } };
const inNested: Sent = { key: null, asks: 'nested-1', request: { goods: { sku: 'nested-1' } } };
const retained = { leaves: once, counts: { executed: 1, replayed: 1 } };

/** Section 4, `key_field`. */
export const keyFieldRows: readonly Row[] = [
  {
    line: 'none: a key in a field is no key',
    steps: [call(inField, keyMissing)],
    leaves: nothing,
    counts: { key_missing: 1 },
  },
  {
    line: 'set: the key in the field alone',
    setup: flat,
    steps: [call(inField), replays(inField)],
    ...retained,
  },
  { line: 'set: the key in metadata alone', setup: flat, steps: [call(), replays()], ...retained },
  {
    line: 'set: the same key in both is one key',
    setup: flat,
    steps: [call(inBoth), replays(inBoth), replays(inField)],
    leaves: once,
    counts: { executed: 1, replayed: 2 },
  },
  {
    line: 'set: it is no part of what is compared, so the key may stand there in one attempt and not in the next',
    setup: flat,
    steps: [
      ...[call({ key: 'field-1' }), replays(inField), replays(inBoth)],
      call({ ...inField, request: { ...inField.request, amountMinor: 2 } }, keyReused),
    ],
    leaves: once,
    counts: { executed: 1, replayed: 2, reused: 1 },
  },
  {
    line: 'set: two keys that differ',
    setup: flat,
    steps: [call(differing, keyInvalid), call(inBoth), call(differing, keyInvalid)],
    leaves: once,
    counts: { key_invalid: 2, executed: 1 },
  },
  {
    line: 'set: a malformed key in the field',
    setup: flat,
    steps: ['a b', 'k'.repeat(256), 'ä', 'a,b', ' '].map((note) =>
      call({ key: null, request: { note } }, fieldInvalid('note')),
    ),
    leaves: nothing,
    counts: { key_invalid: 5 },
  },
  {
    line: 'set: a malformed key in the field beside a good one in metadata',
    setup: flat,
    steps: [call({ request: { note: 'a b' } }, fieldInvalid('note'))],
    leaves: nothing,
    counts: { key_invalid: 1 },
  },
  {
    line: 'set: a malformed key in metadata beside a good one in the field',
    setup: flat,
    steps: [call({ key: 'a b', request: { note: 'field-1' } }, keyInvalid)],
    leaves: nothing,
    counts: { key_invalid: 1 },
  },
  {
    line: 'set: neither, or an empty field',
    setup: flat,
    steps: [call({ key: null }, keyMissing), call({ key: null, request: { note: '' } }, keyMissing)],
    leaves: nothing,
    counts: { key_missing: 2 },
  },
  {
    line: 'a path: the key in the field alone',
    setup: nested,
    steps: [call(inNested), replays(inNested)],
    ...retained,
  },
  {
    line: 'a path: two keys that differ',
    setup: nested,
    steps: [call({ ...inNested, key: 'other' }, keyInvalid)],
    leaves: nothing,
    counts: { key_invalid: 1 },
  },
  {
    line: 'a path: a message on the way that is not there',
    setup: nested,
    steps: [call({ key: null }, keyMissing), call({ key: null, request: { goods: {} } }, keyMissing)],
    leaves: nothing,
    counts: { key_missing: 2 },
  },
  {
    line: 'an optional key is one wherever it stands',
    setup: optional,
    steps: [call({ key: null }, unguarded), call(inField, ok), replays(inBoth)],
    leaves: leaves('completed', 2, 2),
    counts: { bypassed: 1, executed: 1, replayed: 1 },
  },
];
