import type { CallInput } from '../../table/call-input.js';
import { ok, refusals, unguarded } from '../../table/expected-result.js';
import { executedOnce, finalState, noRecord, type Row } from '../../table/row.js';
import { declare, type Setup } from '../../table/setup.js';
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

const inField: CallInput = { key: null, operationKey: 'field-1', request: { note: 'field-1' } };
const inBoth: CallInput = { key: 'field-1', request: { note: 'field-1' } };
const differing: CallInput = { key: 'field-1', request: { note: 'field-2' } };
const inNested: CallInput = { key: null, operationKey: 'nested-1', request: { goods: { sku: 'nested-1' } } };
const retained = { final: executedOnce, counts: { executed: 1, replayed: 1 } };

/** The policy field `key_field`. */
export const keyFieldRows: readonly Row[] = [
  {
    title: 'not set: a key in a request field is ignored, and the call is refused',
    steps: [call(inField, keyMissing)],
    final: noRecord,
    counts: { key_missing: 1 },
  },
  {
    title: 'set: the key in the field alone names the operation',
    setup: flat,
    steps: [call(inField), replays(inField)],
    ...retained,
  },
  {
    title: 'set: a key in double quotes in the metadata equals the key without quotes in the field',
    setup: flat,
    steps: [call(inField), replays({ ...inBoth, key: '"field-1"', operationKey: 'field-1' })],
    ...retained,
  },
  {
    title: 'set: a key in double quotes in the field is refused',
    setup: flat,
    steps: [call({ key: null, request: { note: '"field-1"' } }, fieldInvalid('note'))],
    final: noRecord,
    counts: { key_invalid: 1 },
  },
  {
    title: 'set: the key in the metadata alone names the operation',
    setup: flat,
    steps: [call(), replays()],
    ...retained,
  },
  {
    title: 'set: the same key in the field and in the metadata names one operation',
    setup: flat,
    steps: [call(inBoth), replays(inBoth), replays(inField)],
    final: executedOnce,
    counts: { executed: 1, replayed: 2 },
  },
  {
    title:
      'set: the field is not part of the fingerprint, so one attempt may omit it and the next may set it',
    setup: flat,
    steps: [
      ...[call({ key: 'field-1' }), replays(inField), replays(inBoth)],
      call({ ...inField, request: { ...inField.request, amountMinor: 2 } }, keyReused),
    ],
    final: executedOnce,
    counts: { executed: 1, replayed: 2, reused: 1 },
  },
  {
    title: 'set: different keys in the field and in the metadata are refused as invalid',
    setup: flat,
    steps: [call(differing, keyInvalid), call(inBoth), call(differing, keyInvalid)],
    final: executedOnce,
    counts: { key_invalid: 2, executed: 1 },
  },
  {
    title: 'set: a malformed key in the field is refused as invalid',
    setup: flat,
    steps: ['a b', 'k'.repeat(256), 'ä', 'a,b', ' '].map((note) =>
      call({ key: null, request: { note } }, fieldInvalid('note')),
    ),
    final: noRecord,
    counts: { key_invalid: 5 },
  },
  {
    title: 'set: a malformed key in the field is refused, also with a valid key in the metadata',
    setup: flat,
    steps: [call({ request: { note: 'a b' } }, fieldInvalid('note'))],
    final: noRecord,
    counts: { key_invalid: 1 },
  },
  {
    title: 'set: a malformed key in the metadata is refused, also with a valid key in the field',
    setup: flat,
    steps: [call({ key: 'a b', request: { note: 'field-1' } }, keyInvalid)],
    final: noRecord,
    counts: { key_invalid: 1 },
  },
  {
    title: 'set: no key in the metadata and an absent or empty field: the call is refused',
    setup: flat,
    steps: [call({ key: null }, keyMissing), call({ key: null, request: { note: '' } }, keyMissing)],
    final: noRecord,
    counts: { key_missing: 2 },
  },
  {
    title: 'set to a nested path: the key in the field alone names the operation',
    setup: nested,
    steps: [call(inNested), replays(inNested)],
    ...retained,
  },
  {
    title: 'set to a nested path: different keys are refused as invalid',
    setup: nested,
    steps: [call({ ...inNested, key: 'other' }, keyInvalid)],
    final: noRecord,
    counts: { key_invalid: 1 },
  },
  {
    title: 'set to a nested path: an absent message on the path means that the key is missing',
    setup: nested,
    steps: [call({ key: null }, keyMissing), call({ key: null, request: { goods: {} } }, keyMissing)],
    final: noRecord,
    counts: { key_missing: 2 },
  },
  {
    title: 'set, with an optional key: a key in the field or in the metadata guards the call',
    setup: optional,
    steps: [call({ key: null }, unguarded), call(inField, ok), replays(inBoth)],
    final: finalState('completed', 2, 2),
    counts: { bypassed: 1, executed: 1, replayed: 1 },
  },
];
