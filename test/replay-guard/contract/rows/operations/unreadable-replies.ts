import { randomBytes } from 'node:crypto';
import { engines } from '../../../../helpers/databases/engines.js';
import { refusals } from '../../table/expected-result.js';
import * as faults from '../../table/faults.js';
import { executedOnce, finalState, type Row } from '../../table/row.js';
import { allStores, everyKind } from '../../table/setup.js';
import { call, replays } from '../../table/steps.js';

const another = { request: { amountMinor: 2 } };

/** The refusals of a stored reply that cannot be read. */
export const unreadableReplyRows: readonly Row[] = [
  ...[
    { title: 'corrupt', damage: faults.bitFlipped },
    { title: 'of an unknown version', damage: faults.ofNewerVersion },
    { title: 'cut short', damage: faults.cutShort, stores: engines },
    { title: 'empty', damage: faults.emptied, stores: engines },
  ].map(
    ({ title, damage, stores = allStores }): Row => ({
      title: `the stored reply is ${title}: the call is refused and never executes again`,
      methods: everyKind,
      stores,
      steps: [
        ...[call(), faults.damageReply(damage)],
        ...[call({}, refusals.replyUnreadable), call({}, refusals.replyUnreadable)],
      ],
      final: executedOnce,
      counts: { executed: 1, refused: 2 },
    }),
  ),
  ...[
    { title: 'checksum', setup: {} },
    { title: 'cipher', setup: { guard: { cipherKey: randomBytes(32) } } },
  ].map(
    ({ title, setup }): Row => ({
      title: `the ${title} shows that the reply belongs to another record: the call is refused`,
      setup,
      steps: [
        ...[
          call({ key: 'one' }),
          call({ key: 'other' }),
          faults.swapReplies({ key: 'one' }, { key: 'other' }),
        ],
        ...[call({ key: 'one' }, refusals.replyUnreadable), call({ key: 'other' }, refusals.replyUnreadable)],
        ...[
          faults.swapReplies({ key: 'one' }, { key: 'other' }),
          replays({ key: 'one' }),
          replays({ key: 'other' }),
        ],
      ],
      final: { records: ['completed', 'completed'], executions: 2, effects: 2 },
      counts: { executed: 2, refused: 2, replayed: 2 },
    }),
  ),
  ...[{ title: 'another cipher key', cipherKey: randomBytes(32) }, { title: 'no cipher key' }].map(
    ({ title, ...second }): Row => ({
      title: `the stored reply is encrypted and the server has ${title}: the call is refused`,
      methods: everyKind,
      setup: { guard: { cipherKey: randomBytes(32) }, second: { cipherKey: undefined, ...second } as object },
      steps: [call(), call({ second: true }, refusals.replyUnreadable), replays()],
      final: executedOnce,
      counts: { executed: 1, refused: 1, replayed: 1 },
    }),
  ),
  {
    title: 'the stored reply was erased: the key stays known until its expiry, and the call is refused',
    methods: everyKind,
    steps: [
      call(),
      faults.eraseScope(1),
      call({}, refusals.replyErased),
      call(another, refusals.replyErased),
    ],
    final: finalState('erased', 1, 1),
    counts: { executed: 1, refused: 2 },
  },
];
