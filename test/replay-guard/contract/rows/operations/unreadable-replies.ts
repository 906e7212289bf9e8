import { randomBytes } from 'node:crypto';
import { engines } from '../../../../helpers/databases/engines.js';
import { refusals } from '../../table/expected-result.js';
import * as faults from '../../table/faults.js';
import { everyKind, everywhere, leaves, once, type Row } from '../../table/row.js';
import { call, replays } from '../../table/steps.js';

const another = { request: { amountMinor: 2 } };

/** Section 2, a stored reply that cannot be read. */
export const unreadableRows: readonly Row[] = [
  ...[
    { line: 'corrupt', damage: faults.bitFlipped },
    { line: 'of a version that is not known', damage: faults.ofNewerVersion },
    { line: 'cut short', damage: faults.cutShort, places: engines },
    { line: 'empty', damage: faults.emptied, places: engines },
  ].map(
    ({ line, damage, places = everywhere }): Row => ({
      line: `the stored reply is ${line}: it never executes again`,
      methods: everyKind,
      places,
      steps: [
        ...[call(), faults.damages(damage)],
        ...[call({}, refusals.replyUnreadable), call({}, refusals.replyUnreadable)],
      ],
      leaves: once,
      counts: { executed: 1, refused: 2 },
    }),
  ),
  ...[
    { line: 'checksum', setup: {} },
    { line: 'cipher', setup: { guard: { cipherKey: randomBytes(32) } } },
  ].map(
    ({ line, setup }): Row => ({
      line: `the stored reply is of another record, by its ${line}`,
      setup,
      steps: [
        ...[call({ key: 'one' }), call({ key: 'other' }), faults.swaps({ key: 'one' }, { key: 'other' })],
        ...[call({ key: 'one' }, refusals.replyUnreadable), call({ key: 'other' }, refusals.replyUnreadable)],
        ...[
          faults.swaps({ key: 'one' }, { key: 'other' }),
          replays({ key: 'one' }),
          replays({ key: 'other' }),
        ],
      ],
      leaves: { records: ['completed', 'completed'], executions: 2, effects: 2 },
      counts: { executed: 2, refused: 2, replayed: 2 },
    }),
  ),
  ...[{ line: 'another cipher key', cipherKey: randomBytes(32) }, { line: 'none' }].map(
    ({ line, ...second }): Row => ({
      line: `the stored reply is encrypted, and the server has ${line}`,
      methods: everyKind,
      setup: { guard: { cipherKey: randomBytes(32) }, second: { cipherKey: undefined, ...second } as object },
      steps: [call(), call({ second: true }, refusals.replyUnreadable), replays()],
      leaves: once,
      counts: { executed: 1, refused: 1, replayed: 1 },
    }),
  ),
  {
    line: 'the stored reply was erased: its key stays known until it expires',
    methods: everyKind,
    steps: [call(), faults.erases(1), call({}, refusals.replyErased), call(another, refusals.replyErased)],
    leaves: leaves('erased', 1, 1),
    counts: { executed: 1, refused: 2 },
  },
];
