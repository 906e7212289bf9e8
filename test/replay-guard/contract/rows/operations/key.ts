import { refusals, unguarded } from '../../table/expected-result.js';
import { executedOnce, finalState, noRecord, type Row } from '../../table/row.js';
import { everyKind } from '../../table/setup.js';
import { call, replays } from '../../table/steps.js';

const { keyInvalid, keyMissing } = refusals;
const alphabet = [...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~:/+=@-'];
const printable = Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i));
const forbidden = printable.filter((char) => !alphabet.includes(char)).map((char) => `a${char}b`);
const inQuotes = { key: '"k-1"', operationKey: 'k-1' };
const longest = 'k'.repeat(255);
const malformedQuotes = [
  ...['"', '""', '"k', 'k"', '""k""', "'k'", '"k"q', '"k";a=1', '"k" "k"', '"a", "b"'],
  ...['"k\\"', '"\\k"', '"a\\"b"', '"a\\\\b"', '"a b"', '"a,b"', `"${'k'.repeat(256)}"`, ':azE=:;', '?1;'],
];
const retained = { final: executedOnce, counts: { executed: 1, replayed: 1 } };
const refused = (count: number) => ({ final: noRecord, counts: { key_invalid: count } });
const twice = (key: string) => [call({ key }), replays({ key })];

/** The contract of the `idempotency-key` metadata. */
export const keyRows: readonly Row[] = [
  {
    title: 'every attempt of one operation sends the same key: the first executes, the others replay',
    methods: everyKind,
    steps: [call(), replays(), replays()],
    final: executedOnce,
    counts: { executed: 1, replayed: 2 },
  },
  { title: 'a key of 1 character is valid', steps: twice('k'), ...retained },
  { title: 'a key of 255 characters is valid', steps: twice('k'.repeat(255)), ...retained },
  { title: 'a key with every allowed character is valid', steps: twice(alphabet.join('')), ...retained },
  { title: 'a UUIDv7 is a valid key', steps: twice('0192f0c4-7e9a-7c3b-8d21-5a6b7c8d9e0f'), ...retained },
  {
    title: 'each allowed character alone is a distinct valid key',
    steps: [...alphabet.map((key) => call({ key })), ...alphabet.map((key) => replays({ key }))],
    final: {
      records: alphabet.map(() => 'completed'),
      executions: alphabet.length,
      effects: alphabet.length,
    },
    counts: { executed: alphabet.length, replayed: alphabet.length },
  },
  {
    title: 'a key of 256 characters is refused as invalid',
    methods: [...everyKind, 'Touch'],
    steps: [call({ key: 'k'.repeat(256) }, keyInvalid)],
    ...refused(1),
  },
  {
    title: 'an empty key is refused as invalid, also if the key is optional',
    methods: [...everyKind, 'Touch'],
    steps: [call({ key: '' }, keyInvalid)],
    ...refused(1),
  },
  {
    title: 'a key with a forbidden character is refused as invalid, also if the key is optional',
    methods: ['Append', 'Touch'],
    steps: forbidden.map((key) => call({ key }, keyInvalid)),
    ...refused(forbidden.length),
  },
  {
    title: 'a key in double quotes is the same key as without quotes',
    methods: everyKind,
    steps: [call(inQuotes), replays({ key: 'k-1' }), replays(inQuotes)],
    final: executedOnce,
    counts: { executed: 1, replayed: 2 },
  },
  {
    title: 'a key of 255 characters in double quotes is valid, and replays a call without quotes',
    steps: [call({ key: longest }), replays({ key: `"${longest}"`, operationKey: longest })],
    ...retained,
  },
  {
    title:
      'a key with incomplete or repeated quotes, an escape, a parameter or a forbidden character is refused',
    methods: ['Append', 'Touch'],
    steps: malformedQuotes.map((key) => call({ key }, keyInvalid)),
    ...refused(malformedQuotes.length),
  },
  {
    title: 'two keys in double quotes in one call are refused as invalid, equal or not',
    steps: [call({ key: ['"a"', '"a"'] }, keyInvalid), call({ key: ['"a"', '"b"'] }, keyInvalid)],
    ...refused(2),
  },
  {
    title: 'two keys in one call are refused as invalid, equal or not',
    methods: [...everyKind, 'Touch'],
    steps: [
      ['a', 'b'],
      ['a', 'a'],
      ['a', ''],
      ['', ''],
    ].map((key) => call({ key }, keyInvalid)),
    ...refused(4),
  },
  {
    title: 'a required key is missing: the call is refused',
    methods: [...everyKind, 'Close'],
    steps: [call({ key: null }, keyMissing)],
    final: noRecord,
    counts: { key_missing: 1 },
  },
  {
    title: 'a key with outer white space is dropped by the transport: the call is refused as without a key',
    steps: [call({ key: 'key' }), ...['key ', ' key', ' '].map((key) => call({ key }, keyMissing))],
    final: executedOnce,
    counts: { executed: 1, key_missing: 3 },
  },
  {
    title: 'an optional key is missing: the call executes unguarded',
    methods: ['Touch'],
    steps: [call({ key: null }, unguarded), call({ key: null }, unguarded)],
    final: finalState('no record', 2, 2),
    counts: { bypassed: 2 },
  },
  {
    title: 'the same key of another method or caller is another operation',
    steps: [
      ...[call(), call({ method: 'Transfer' }), call({ caller: 'another' })],
      ...[replays(), replays({ method: 'Transfer' }), replays({ caller: 'another' })],
    ],
    final: { records: ['completed', 'completed', 'completed'], executions: 3, effects: 3 },
    counts: { executed: 3, replayed: 3 },
  },
];
