import type { CallInput } from '../../table/call-input.js';
import { refusals, unguarded } from '../../table/expected-result.js';
import { finalState, noRecord, type Row } from '../../table/row.js';
import { everyKind, type Setup, unaryAndStreaming } from '../../table/setup.js';
import { at, call, replays } from '../../table/steps.js';

const { firstSentInvalid, keyExpired, sequenceInvalid } = refusals;
const minute = 60_000;
const day = 24 * 60 * minute;

const producer = 'idempotency-producer';
const sequence = 'idempotency-sequence';
const epoch = 'idempotency-epoch';
type Headers = Readonly<Record<string, string | string[]>>;

const withHeaders = (headers: Headers): CallInput => ({ key: null, metadata: () => headers });
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

const invalid: Record<string, [string, Headers[]]> = {
  'a producer without a sequence is refused': [
    sequence,
    [{ [producer]: 'p' }, { [producer]: 'p', [epoch]: '1' }],
  ],
  'a sequence without a producer is refused': [
    producer,
    [{ [sequence]: '1' }, { [sequence]: '1', [epoch]: '1' }],
  ],
  'an epoch without a producer is refused': [producer, [{ [epoch]: '1' }]],
  'a malformed producer is refused': [
    producer,
    ['', 'a b', 'a,b', 'p'.repeat(256), '#'].map((name) => ({ [producer]: name, [sequence]: '0' })),
  ],
  'a malformed sequence is refused': [
    sequence,
    malformed.map((text) => ({ [producer]: 'p', [sequence]: text })),
  ],
  'a malformed epoch is refused': [
    epoch,
    malformed.map((text) => ({ [producer]: 'p', [sequence]: '0', [epoch]: text })),
  ],
  'two producers in one call are refused': [producer, [{ [producer]: ['p', 'p'], [sequence]: '0' }]],
  'two sequences in one call are refused': [sequence, [{ [producer]: 'p', [sequence]: ['0', '0'] }]],
  'two epochs in one call are refused': [epoch, [{ [producer]: 'p', [sequence]: '0', [epoch]: ['0', '0'] }]],
  'a key together with a sequence is refused': [
    'idempotency-key',
    [{ [producer]: 'p', [sequence]: '0', 'idempotency-key': 'k' }],
  ],
};

const inField: Setup = { policy: { keyField: 'note' } };
const optional: Setup = { policy: { key: 'OPTIONAL' }, methods: everyKind };
const ago = (ms: number, sent: CallInput): CallInput => ({
  ...sent,
  metadata: (now) => ({ 'idempotency-first-sent': new Date(now - ms).toISOString() }),
});
const named = (name: string, number: number): CallInput => ({
  sequence: { producer: name, sequence: number },
});

/** The metadata of a call with a sequence, and its first-sent time. */
export const sequenceMetadataRows: readonly Row[] = [
  ...Object.entries(invalid).map(
    ([title, [field, sent]]): Row => ({
      title,
      methods: unaryAndStreaming,
      steps: sent.map((headers) => call(withHeaders(headers), sequenceInvalid(field))),
      final: noRecord,
      counts: { key_invalid: sent.length },
    }),
  ),
  {
    title: 'a key in a request field together with a sequence is refused',
    setup: inField,
    steps: [
      call({ ...at(0), request: { note: 'key' } }, sequenceInvalid('note')),
      ...[call({ ...at(0), request: { note: '' } }), replays(at(0))],
    ],
    final: finalState('completed', 1, 1),
    counts: { key_invalid: 1, executed: 1, replayed: 1 },
  },
  {
    title: 'a sequence guards a method whose key is OPTIONAL',
    methods: unaryAndStreaming,
    setup: optional,
    steps: [call({ key: null }, unguarded), call(at(0)), replays(at(0)), call(at(2), refusals.gap(1))],
    final: finalState('completed', 2, 2),
    counts: { bypassed: 1, executed: 1, replayed: 1, refused: 1 },
  },
  {
    title:
      'callers, methods and producers have separate series, and a key equal to a producer is another operation',
    steps: [
      ...[call(at(0)), call({ ...at(0), caller: 'another' }), call({ ...at(0), method: 'Transfer' })],
      ...[call(named('other', 0)), call(), replays(at(0)), replays(), call(at(1)), call(named('other', 1))],
      call({ ...at(2), caller: 'another' }, refusals.gap(1)),
    ],
    final: { records: Array.from({ length: 5 }, () => 'completed' as const), executions: 7, effects: 7 },
    counts: { executed: 7, replayed: 2, refused: 1 },
  },
  {
    title: 'a producer may have every character and length of a key',
    steps: ['p', 'P'.repeat(255), 'aZ09._~:/+=@-'].flatMap((name) => [
      call(named(name, 0)),
      replays(named(name, 0)),
    ]),
    final: { records: ['completed', 'completed', 'completed'], executions: 3, effects: 3 },
    counts: { executed: 3, replayed: 3 },
  },
  {
    title: 'a first-sent time older than the TTL: a stored reply replays, and a new sequence is refused',
    methods: unaryAndStreaming,
    steps: [
      ...[call(ago(day + minute, at(0)), keyExpired), call(ago(0, at(0))), replays(ago(day + minute, at(0)))],
      ...[call(ago(day + minute, at(1)), keyExpired), call(ago(23 * 60 * minute, at(1)))],
      ...[replays(ago(-6 * minute, at(1))), call(ago(-6 * minute, at(2)), keyExpired)],
      call(ago(day + minute, at(0, 1)), keyExpired),
      call({ ...at(2), metadata: () => ({ 'idempotency-first-sent': 'yesterday' }) }, firstSentInvalid),
    ],
    final: finalState('completed', 2, 2),
    counts: { executed: 2, replayed: 2, expired: 4, key_invalid: 1 },
  },
];
