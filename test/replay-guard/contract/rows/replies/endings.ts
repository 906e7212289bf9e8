import { status } from '@grpc/grpc-js';
import { type Expected, handlerFailed, notStored, ok, stored } from '../../table/expected-result.js';
import { endsWith, type Script, writes } from '../../table/handlers.js';
import { executedOnce, failureStored, finalState, type Row } from '../../table/row.js';
import { everyKind, unary } from '../../table/setup.js';
import { call, cancel, ends, held, release, replays, start } from '../../table/steps.js';

const everyCode = Object.values(status).filter((code) => typeof code === 'number') as status[];
const storedCodes = [
  status.NOT_FOUND,
  status.ALREADY_EXISTS,
  status.FAILED_PRECONDITION,
  status.OUT_OF_RANGE,
];

function outcomeOf(code: status): string {
  if (code === status.OK) return 'the reply is stored and replayed';
  if (storedCodes.includes(code)) return 'the failure is stored and replayed, and the writes roll back';
  return 'nothing is stored, and a retry executes';
}

function ended(code: status): Row {
  const row = {
    title: `the handler ends with ${status[code]}: ${outcomeOf(code)}`,
    methods: everyKind,
    handler: endsWith(code),
  };
  const details = `ended with ${status[code]}`;
  if (code === status.OK) {
    return { ...row, steps: [call(), replays()], final: executedOnce, counts: { executed: 1, replayed: 1 } };
  }
  if (storedCodes.includes(code)) {
    const steps = [call({}, { ...stored(code), details }), replays()];
    return { ...row, steps, final: failureStored, counts: { executed: 1, replayed: 1 } };
  }
  const again = call({}, { ...notStored(code), details });
  return { ...row, steps: [again, again], final: finalState('no record', 2, 0), counts: { released: 2 } };
}

/** The first execution fails after its write. The second execution succeeds. */
const first =
  (fails: Script): Script =>
  async (context) => {
    await context.write();
    if (context.execution === 1) return fails(context);
    context.respond();
  };

const faulty: Readonly<Record<string, { handler: Script; expected?: Expected; only?: typeof unary }>> = {
  'throws synchronously': {
    handler: (context) => {
      if (context.execution === 1) throw new Error('secret');
      return writes(context);
    },
  },
  'throws an error without a message': {
    handler: (context) => {
      if (context.execution === 1) throw new Error('');
      return writes(context);
    },
  },
  rejects: {
    handler: first(async () => {
      throw new Error('secret');
    }),
  },
  'rejects with undefined': { handler: first(() => Promise.reject(undefined)) },
  'ends with an Error without a code': {
    handler: first(({ respond }) => respond({ error: new Error('no such thing') })),
    expected: { code: status.UNKNOWN, details: 'no such thing' },
  },
  'responds with a message that cannot be serialized': {
    handler: first(({ respond }) => respond({ ids: [Object.create(null)] })),
  },
};

const failed = Object.entries(faulty).map(
  ([what, { handler, expected = handlerFailed }]): Row => ({
    title: `the handler ${what}: the execution rolls back, and a retry executes`,
    methods: everyKind,
    handler,
    steps: [call({}, expected), call(), replays()],
    final: finalState('completed', 2, 1),
    counts: { released: 1, executed: 1, replayed: 1 },
  }),
);

const late: Row[] = [
  {
    title: 'the handler rejects after its response: the call ends with the response',
    methods: everyKind,
    handler: async ({ write, respond }) => {
      await write();
      respond();
      throw new Error('too late');
    },
    steps: [call(), replays()],
    final: executedOnce,
    counts: { executed: 1, replayed: 1 },
  },
  {
    title: 'the handler responds without a message: the execution rolls back, and a retry executes',
    methods: unary,
    handler: first(({ respond }) => respond({ ids: [] })),
    steps: [call({}, handlerFailed), call(), replays()],
    final: finalState('completed', 2, 1),
    counts: { released: 1, executed: 1, replayed: 1 },
  },
  {
    title: 'the handler responds twice: the call ends with the first response',
    methods: unary,
    handler: async ({ write, respond }) => {
      await write();
      respond({ ids: ['first'] });
      respond({ ids: ['second'] });
      respond({ error: { code: status.NOT_FOUND } });
    },
    steps: [call({}, { ...ok, messages: ['first'] }), replays()],
    final: executedOnce,
    counts: { executed: 1, replayed: 1 },
  },
];

const clientCancelled: Row[] = [
  {
    title: 'the client cancels: the handler completes, its reply is stored, and the retry gets the reply',
    methods: unary,
    handler: async ({ write, respond, gate }) => {
      await write();
      await gate.pass();
      respond({ ids: ['stored'] });
    },
    steps: [
      ...[start(), held(), cancel, ends({ code: status.CANCELLED }), start()],
      ...[release(), ends({ ...ok, messages: ['stored'], replayed: true })],
      call({}, { ...ok, messages: ['stored'], replayed: true }),
    ],
    final: executedOnce,
    counts: { executed: 1, joined: 1, replayed: 1 },
  },
];

/** The results of a handler, and the reaction of the guard to each result. */
export const endingRows: readonly Row[] = [...everyCode.map(ended), ...failed, ...late, ...clientCancelled];
