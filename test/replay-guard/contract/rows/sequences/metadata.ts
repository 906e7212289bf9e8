import { refusals, unguarded } from '../../table/expected-result.js';
import { eachSort, everyKind, leaves, nothing, type Row, type Setup } from '../../table/row.js';
import type { Sent } from '../../table/row-run.js';
import { at, call, replays } from '../../table/steps.js';

const { firstSentInvalid, keyExpired, sequenceInvalid } = refusals;
const minute = 60_000;
const day = 24 * 60 * minute;

const producer = 'idempotency-producer';
const sequence = 'idempotency-sequence';
const epoch = 'idempotency-epoch';
type Headers = Readonly<Record<string, string | string[]>>;

const says = (headers: Headers): Sent => ({ key: null, metadata: () => headers });
const malformed = [
  '',
  '-1',
  '+1',
  '01',
  '00',
  '1.0',
  '1e3',
  '0x1',
  'one',
  '9223372036854775808',
  '1'.repeat(30),
];

const wrong: Record<string, [string, Headers[]]> = {
  'a producer without a sequence': [sequence, [{ [producer]: 'p' }, { [producer]: 'p', [epoch]: '1' }]],
  'a sequence without a producer': [producer, [{ [sequence]: '1' }, { [sequence]: '1', [epoch]: '1' }]],
  'an epoch without a producer': [producer, [{ [epoch]: '1' }]],
  'a malformed producer': [
    producer,
    ['', 'a b', 'a,b', 'p'.repeat(256), '#'].map((name) => ({ [producer]: name, [sequence]: '0' })),
  ],
  'a malformed sequence': [sequence, malformed.map((text) => ({ [producer]: 'p', [sequence]: text }))],
  'a malformed epoch': [
    epoch,
    malformed.map((text) => ({ [producer]: 'p', [sequence]: '0', [epoch]: text })),
  ],
  'two producers': [producer, [{ [producer]: ['p', 'p'], [sequence]: '0' }]],
  'two sequences': [sequence, [{ [producer]: 'p', [sequence]: ['0', '0'] }]],
  'two epochs': [epoch, [{ [producer]: 'p', [sequence]: '0', [epoch]: ['0', '0'] }]],
  'a key beside it': ['idempotency-key', [{ [producer]: 'p', [sequence]: '0', 'idempotency-key': 'k' }]],
};

const inField: Setup = { policy: { keyField: 'note' } };
const optional: Setup = { policy: { key: 'OPTIONAL' }, methods: everyKind };
const ago = (ms: number, sent: Sent): Sent => ({
  ...sent,
  metadata: (now) => ({ 'idempotency-first-sent': new Date(now - ms).toISOString() }),
});
const named = (name: string, number: number): Sent => ({ sequence: { producer: name, sequence: number } });

/** How a call names its place, and when it says that it was first sent. */
export const sequenceNameRows: readonly Row[] = [
  ...Object.entries(wrong).map(
    ([line, [field, sent]]): Row => ({
      line,
      methods: eachSort,
      steps: sent.map((headers) => call(says(headers), sequenceInvalid(field))),
      leaves: nothing,
      counts: { key_invalid: sent.length },
    }),
  ),
  {
    line: 'a key in a field of the request beside it',
    setup: inField,
    steps: [
      call({ ...at(0), request: { note: 'key' } }, sequenceInvalid('note')),
      ...[call({ ...at(0), request: { note: '' } }), replays(at(0))],
    ],
    leaves: leaves('completed', 1, 1),
    counts: { key_invalid: 1, executed: 1, replayed: 1 },
  },
  {
    line: 'guards a method whose key is OPTIONAL',
    methods: eachSort,
    setup: optional,
    steps: [call({ key: null }, unguarded), call(at(0)), replays(at(0)), call(at(2), refusals.gap(1))],
    leaves: leaves('completed', 2, 2),
    counts: { bypassed: 1, executed: 1, replayed: 1, refused: 1 },
  },
  {
    line: 'belongs to the caller, the method and the producer; a key of the same name is a key',
    steps: [
      ...[call(at(0)), call({ ...at(0), caller: 'another' }), call({ ...at(0), method: 'Transfer' })],
      ...[call(named('other', 0)), call(), replays(at(0)), replays(), call(at(1)), call(named('other', 1))],
      call({ ...at(2), caller: 'another' }, refusals.gap(1)),
    ],
    leaves: { records: Array.from({ length: 5 }, () => 'completed' as const), executions: 7, effects: 7 },
    counts: { executed: 7, replayed: 2, refused: 1 },
  },
  {
    line: 'every character and length of a key names a producer',
    steps: ['p', 'P'.repeat(255), 'aZ09._~:/+=@-'].flatMap((name) => [
      call(named(name, 0)),
      replays(named(name, 0)),
    ]),
    leaves: { records: ['completed', 'completed', 'completed'], executions: 3, effects: 3 },
    counts: { executed: 3, replayed: 3 },
  },
  {
    line: 'first sent too long ago to be executed; replies are given all the same',
    methods: eachSort,
    steps: [
      ...[call(ago(day + minute, at(0)), keyExpired), call(ago(0, at(0))), replays(ago(day + minute, at(0)))],
      ...[call(ago(day + minute, at(1)), keyExpired), call(ago(23 * 60 * minute, at(1)))],
      ...[call(ago(-6 * minute, at(1)), keyExpired), call(ago(day + minute, at(0, 1)), keyExpired)],
      call({ ...at(2), metadata: () => ({ 'idempotency-first-sent': 'yesterday' }) }, firstSentInvalid),
    ],
    leaves: leaves('completed', 2, 2),
    counts: { executed: 2, replayed: 1, expired: 4, key_invalid: 1 },
  },
];
