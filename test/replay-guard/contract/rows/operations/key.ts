import { refusals, unguarded } from '../../table/expected-result.js';
import { everyKind, leaves, nothing, once, type Row } from '../../table/row.js';
import { call, replays } from '../../table/steps.js';

const { keyInvalid, keyMissing } = refusals;
const alphabet = [...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~:/+=@-'];
const printable = Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i));
const forbidden = printable.filter((char) => !alphabet.includes(char)).map((char) => `a${char}b`);
const retained = { leaves: once, counts: { executed: 1, replayed: 1 } };
const refused = (count: number) => ({ leaves: nothing, counts: { key_invalid: count } });
const twice = (key: string) => [call({ key }), replays({ key })];

/** Section 2, `idempotency-key`. */
export const keyRows: readonly Row[] = [
  {
    line: 'one per logical operation, the same on every attempt',
    methods: everyKind,
    steps: [call(), replays(), replays()],
    leaves: once,
    counts: { executed: 1, replayed: 2 },
  },
  { line: '1 character', steps: twice('k'), ...retained },
  { line: '255 characters', steps: twice('k'.repeat(255)), ...retained },
  { line: 'every allowed character at once', steps: twice(alphabet.join('')), ...retained },
  { line: 'UUIDv7 recommended', steps: twice('0192f0c4-7e9a-7c3b-8d21-5a6b7c8d9e0f'), ...retained },
  {
    line: 'each allowed character alone makes a key of its own',
    steps: [...alphabet.map((key) => call({ key })), ...alphabet.map((key) => replays({ key }))],
    leaves: {
      records: alphabet.map(() => 'completed'),
      executions: alphabet.length,
      effects: alphabet.length,
    },
    counts: { executed: alphabet.length, replayed: alphabet.length },
  },
  {
    line: '256 characters are invalid',
    methods: [...everyKind, 'Touch'],
    steps: [call({ key: 'k'.repeat(256) }, keyInvalid)],
    ...refused(1),
  },
  {
    line: 'an empty key is invalid, also where a key is optional',
    methods: [...everyKind, 'Touch'],
    steps: [call({ key: '' }, keyInvalid)],
    ...refused(1),
  },
  {
    line: 'each forbidden character is invalid, also where a key is optional',
    methods: ['Append', 'Touch'],
    steps: forbidden.map((key) => call({ key }, keyInvalid)),
    ...refused(forbidden.length),
  },
  {
    line: 'exactly one: two are invalid, equal or not',
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
    line: 'a missing key is refused where it is required',
    methods: [...everyKind, 'Close'],
    steps: [call({ key: null }, keyMissing)],
    leaves: nothing,
    counts: { key_missing: 1 },
  },
  {
    line: 'a key with outer white space is dropped on the way, so it is missing, never another one',
    steps: [call({ key: 'key' }), ...['key ', ' key', ' '].map((key) => call({ key }, keyMissing))],
    leaves: once,
    counts: { executed: 1, key_missing: 3 },
  },
  {
    line: 'without a key an optional method runs unguarded',
    methods: ['Touch'],
    steps: [call({ key: null }, unguarded), call({ key: null }, unguarded)],
    leaves: leaves('nothing', 2, 2),
    counts: { bypassed: 2 },
  },
  {
    line: 'one key at several methods and callers is several operations',
    steps: [
      ...[call(), call({ method: 'Transfer' }), call({ caller: 'another' })],
      ...[replays(), replays({ method: 'Transfer' }), replays({ caller: 'another' })],
    ],
    leaves: { records: ['completed', 'completed', 'completed'], executions: 3, effects: 3 },
    counts: { executed: 3, replayed: 3 },
  },
];
