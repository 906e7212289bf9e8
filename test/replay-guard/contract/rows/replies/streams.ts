import { status } from '@grpc/grpc-js';
import {
  type Expected,
  handlerFailed,
  notStored,
  ok,
  refusals,
  stored,
} from '../../table/expected-result.js';
import { endsWith, type Script } from '../../table/handlers.js';
import { executedOnce, failureStored, finalState, type Row } from '../../table/row.js';
import { type Setup, streaming } from '../../table/setup.js';
import * as steps from '../../table/steps.js';

const { start, call, ends, endsReplayed, held, release, replays } = steps;
const methods = streaming;
/** A second server runs on the same data. */
const secondServer: Setup = { second: {} };

const many = Array.from({ length: 200 }, (_, i) => `message ${i}`);
const lengths: Readonly<Record<string, readonly string[]>> = {
  'no messages': [],
  'one message': ['only'],
  '200 messages in order': many,
  'empty messages': ['', '', 'x', ''],
  'one empty message': [''],
};

const recorded = Object.entries(lengths).map(
  ([what, ids]): Row => ({
    title: `a stream of ${what} is stored and replayed message for message`,
    methods,
    setup: secondServer,
    handler: endsWith(status.OK, { ids }),
    steps: [call({}, { ...ok, messages: ids }), replays(), replays({ second: true })],
    final: executedOnce,
    counts: { executed: 1, replayed: 2 },
  }),
);

/**
 * Each of the ten messages has 10 bytes: 8 bytes of text after the field number and the length. gRPC puts 5 bytes before
 * each message. The status message `OK` has 2 bytes.
 */
const limited: Setup = { policy: { maxReplyBytes: 152 }, methods };
const tens = Array.from({ length: 10 }, (_, i) => `number ${i}`);
const limits: Row[] = [
  {
    title: 'the messages together have exactly the maximum size: the stream is stored',
    methods,
    setup: limited,
    handler: endsWith(status.OK, { ids: tens }),
    steps: [call({}, { ...ok, messages: tens }), replays()],
    final: executedOnce,
    counts: { executed: 1, replayed: 1 },
  },
  {
    title:
      'the messages together exceed the maximum size: none is sent, the writes roll back, and the refusal is stored',
    methods,
    setup: limited,
    handler: endsWith(status.OK, { ids: [...tens.slice(1), 'number 10'] }),
    steps: [call({}, { ...refusals.replyTooLarge(152), messages: 0 }), replays()],
    final: failureStored,
    counts: { executed: 1, replayed: 1 },
  },
];

/** Writes, sends two messages, waits at the gate, and ends with a third message. */
const sendsAndWaits: Script = async ({ write, send, respond, gate }) => {
  await write();
  send('one', 'two');
  await gate.pass();
  respond({ ids: ['three'] });
};
const whole: Expected = { ...ok, messages: ['one', 'two', 'three'] };

const concurrent: Row[] = [
  {
    title: 'no message is sent before the commit',
    methods,
    handler: (context) => (context.execution === 1 ? sendsAndWaits(context) : context.respond()),
    steps: [start(), held(), steps.noMessageYet, release(), ends(whole), replays()],
    final: finalState('completed', 2, 1),
    counts: { executed: 1, replayed: 1 },
  },
  {
    title: 'concurrent duplicates wait and get the same messages',
    methods,
    handler: sendsAndWaits,
    steps: [start(), held(), start(), start(), release(), ends(whole), endsReplayed, endsReplayed],
    final: executedOnce,
    counts: { executed: 1, joined: 2 },
  },
  {
    title: 'the client cancels: the handler completes, and the retry gets all its messages',
    methods,
    handler: sendsAndWaits,
    steps: [
      ...[start(), held(), steps.cancel, ends({ code: status.CANCELLED }), start()],
      ...[release(), ends({ ...whole, replayed: true }), call({}, { ...whole, replayed: true })],
    ],
    final: executedOnce,
    counts: { executed: 1, joined: 1, replayed: 1 },
  },
];

/** Sends two messages, then fails. */
const fails =
  (fail: Script): Script =>
  async (context) => {
    await context.write();
    context.send('one', 'two');
    return fail(context);
  };
const failing: Row[] = [
  {
    title: 'the handler ends with a stored failure: its earlier messages are not sent',
    methods,
    handler: fails(({ respond }) =>
      respond({ ids: [], error: { code: status.NOT_FOUND, details: 'after two' } }),
    ),
    steps: [call({}, { ...stored(status.NOT_FOUND), details: 'after two' }), replays()],
    final: failureStored,
    counts: { executed: 1, replayed: 1 },
  },
  {
    title: 'the handler ends with another failure: its earlier messages are not sent',
    methods,
    handler: fails(({ respond }) => respond({ ids: [], error: { code: status.ABORTED } })),
    steps: [call({}, notStored(status.ABORTED))],
    final: finalState('no record', 1, 0),
    counts: { released: 1 },
  },
  {
    title: 'the handler rejects: its earlier messages are not sent',
    methods,
    handler: fails(() => Promise.reject(new Error('secret'))),
    steps: [call({}, handlerFailed)],
    final: finalState('no record', 1, 0),
    counts: { released: 1 },
  },
];

/** The contract of server-streaming methods. */
export const streamRows: readonly Row[] = [...recorded, ...limits, ...concurrent, ...failing];
