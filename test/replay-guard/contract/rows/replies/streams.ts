import { status } from '@grpc/grpc-js';
import { type Expected, handlerFailed, keeps, ok, refusals, releases } from '../../table/expected-result.js';
import { endsWith, type Script } from '../../table/handlers.js';
import { keptFailure, leaves, once, type Row, type Setup, streaming } from '../../table/row.js';
import * as steps from '../../table/steps.js';

const { begins, call, ends, endsReplayed, isHeld, letsGo, replays } = steps;
const methods = streaming;
/** Another server on the same data. */
const two: Setup = { second: {} };

const many = Array.from({ length: 200 }, (_, i) => `message ${i}`);
const lengths: Readonly<Record<string, readonly string[]>> = {
  'no message': [],
  'one message': ['only'],
  '200 messages, in their order': many,
  'messages that are empty': ['', '', 'x', ''],
  'one message that is empty': [''],
};

const recorded = Object.entries(lengths).map(
  ([what, ids]): Row => ({
    line: `recorded and replayed message for message: ${what}`,
    methods,
    setup: two,
    handler: endsWith(status.OK, { ids }),
    steps: [call({}, { ...ok, messages: ids }), replays(), replays({ second: true })],
    leaves: once,
    counts: { executed: 1, replayed: 2 },
  }),
);

/** Field number and length stand before each text of eight. */
const limited: Setup = { policy: { maxReplyBytes: 100 }, methods };
const tens = Array.from({ length: 10 }, (_, i) => `number ${i}`);
const limits: Row[] = [
  {
    line: 'together as large as the limit',
    methods,
    setup: limited,
    handler: endsWith(status.OK, { ids: tens }),
    steps: [call({}, { ...ok, messages: tens }), replays()],
    leaves: once,
    counts: { executed: 1, replayed: 1 },
  },
  {
    line: 'together larger than the limit: none is sent, the writes roll back, and that is kept',
    methods,
    setup: limited,
    handler: endsWith(status.OK, { ids: [...tens.slice(1), 'number 10'] }),
    steps: [call({}, { ...refusals.replyTooLarge(100), messages: 0 }), replays()],
    leaves: keptFailure,
    counts: { executed: 1, replayed: 1 },
  },
];

/** Writes, sends two messages, and ends with a third when the test lets it. */
const held: Script = async ({ write, send, say, gate }) => {
  await write();
  send('one', 'two');
  await gate.pass();
  say({ ids: ['three'] });
};
const whole: Expected = { ...ok, messages: ['one', 'two', 'three'] };

const underWay: Row[] = [
  {
    line: 'no message leaves before the commit',
    methods,
    handler: (handling) => (handling.execution === 1 ? held(handling) : handling.say()),
    steps: [begins(), isHeld(), steps.nothingHasCome, letsGo(), ends(whole), replays()],
    leaves: leaves('completed', 2, 1),
    counts: { executed: 1, replayed: 1 },
  },
  {
    line: 'duplicates at the same time wait, and get the same messages',
    methods,
    handler: held,
    steps: [begins(), isHeld(), begins(), begins(), letsGo(), ends(whole), endsReplayed, endsReplayed],
    leaves: once,
    counts: { executed: 1, joined: 2 },
  },
  {
    line: 'a client that goes away does not stop its handler: the retry gets all that it sent',
    methods,
    handler: held,
    steps: [
      ...[begins(), isHeld(), steps.leaves, ends({ code: status.CANCELLED }), begins()],
      ...[letsGo(), ends({ ...whole, replayed: true }), call({}, { ...whole, replayed: true })],
    ],
    leaves: once,
    counts: { executed: 1, joined: 1, replayed: 1 },
  },
];

/** Fails after it has sent messages. */
const fails =
  (fail: Script): Script =>
  async (handling) => {
    await handling.write();
    handling.send('one', 'two');
    return fail(handling);
  };
const failing: Row[] = [
  {
    line: 'a failure that is kept: the messages before it are not sent',
    methods,
    handler: fails(({ say }) => say({ ids: [], error: { code: status.NOT_FOUND, details: 'after two' } })),
    steps: [call({}, { ...keeps(status.NOT_FOUND), details: 'after two' }), replays()],
    leaves: keptFailure,
    counts: { executed: 1, replayed: 1 },
  },
  {
    line: 'any other failure: the messages before it are not sent',
    methods,
    handler: fails(({ say }) => say({ ids: [], error: { code: status.ABORTED } })),
    steps: [call({}, releases(status.ABORTED))],
    leaves: leaves('nothing', 1, 0),
    counts: { released: 1 },
  },
  {
    line: 'a rejection: the messages before it are not sent',
    methods,
    handler: fails(() => Promise.reject(new Error('secret'))),
    steps: [call({}, handlerFailed)],
    leaves: leaves('nothing', 1, 0),
    counts: { released: 1 },
  },
];

/** Server-streaming methods. */
export const streamRows: readonly Row[] = [...recorded, ...limits, ...underWay, ...failing];
