import { status } from '@grpc/grpc-js';
import { type Expected, handlerFailed, keeps, ok, releases } from '../../table/expected-result.js';
import { endsWith, type Script, writes } from '../../table/handlers.js';
import { everyKind, keptFailure, leaves, once, type Row, unary } from '../../table/row.js';
import { begins, call, ends, isHeld, leaves as leave, letsGo, replays } from '../../table/steps.js';

const everyCode = Object.values(status).filter((code) => typeof code === 'number') as status[];
const kept = [status.NOT_FOUND, status.ALREADY_EXISTS, status.FAILED_PRECONDITION, status.OUT_OF_RANGE];

function ended(code: status): Row {
  const row = { line: `the handler ended with ${status[code]}`, methods: everyKind, handler: endsWith(code) };
  const said = `ended with ${status[code]}`;
  if (code === status.OK) {
    return { ...row, steps: [call(), replays()], leaves: once, counts: { executed: 1, replayed: 1 } };
  }
  if (kept.includes(code)) {
    const steps = [call({}, { ...keeps(code), details: said }), replays()];
    return { ...row, steps, leaves: keptFailure, counts: { executed: 1, replayed: 1 } };
  }
  const again = call({}, { ...releases(code), details: said });
  return { ...row, steps: [again, again], leaves: leaves('nothing', 2, 0), counts: { released: 2 } };
}

/** The first execution goes wrong after a write, the second is as it should be. */
const first =
  (goesWrong: Script): Script =>
  async (handling) => {
    await handling.write();
    if (handling.execution === 1) return goesWrong(handling);
    handling.say();
  };

const wrong: Readonly<Record<string, { handler: Script; seen?: Expected; only?: typeof unary }>> = {
  'throws before it waits for anything': {
    handler: (handling) => {
      if (handling.execution === 1) throw new Error('secret');
      return writes(handling);
    },
  },
  'throws with the words of grpc-js itself': {
    handler: (handling) => {
      if (handling.execution === 1) throw new Error('');
      return writes(handling);
    },
  },
  rejects: {
    handler: first(async () => {
      throw new Error('secret');
    }),
  },
  'rejects with nothing': { handler: first(() => Promise.reject(undefined)) },
  'ends with an Error that has no code': {
    handler: first(({ say }) => say({ error: new Error('no such thing') })),
    seen: { code: status.UNKNOWN, details: 'no such thing' },
  },
  'answers what cannot be serialized': {
    handler: first(({ say }) => say({ ids: [Object.create(null)] })),
  },
};

const careless = Object.entries(wrong).map(
  ([what, { handler, seen = handlerFailed }]): Row => ({
    line: `the handler ${what}: rolled back, and a retry executes`,
    methods: everyKind,
    handler,
    steps: [call({}, seen), call(), replays()],
    leaves: leaves('completed', 2, 1),
    counts: { released: 1, executed: 1, replayed: 1 },
  }),
);

const late: Row[] = [
  {
    line: 'the handler rejects after it has answered',
    methods: everyKind,
    handler: async ({ write, say }) => {
      await write();
      say();
      throw new Error('too late');
    },
    steps: [call(), replays()],
    leaves: once,
    counts: { executed: 1, replayed: 1 },
  },
  {
    line: 'the handler answers with no message: rolled back, and a retry executes',
    methods: unary,
    handler: first(({ say }) => say({ ids: [] })),
    steps: [call({}, handlerFailed), call(), replays()],
    leaves: leaves('completed', 2, 1),
    counts: { released: 1, executed: 1, replayed: 1 },
  },
  {
    line: 'the handler answers twice: the first answer counts',
    methods: unary,
    handler: async ({ write, say }) => {
      await write();
      say({ ids: ['first'] });
      say({ ids: ['second'] });
      say({ error: { code: status.NOT_FOUND } });
    },
    steps: [call({}, { ...ok, messages: ['first'] }), replays()],
    leaves: once,
    counts: { executed: 1, replayed: 1 },
  },
];

const clientGone: Row[] = [
  {
    line: 'a client that goes away does not stop its handler: its reply is stored, and the retry gets it',
    methods: unary,
    handler: async ({ write, say, gate }) => {
      await write();
      await gate.pass();
      say({ ids: ['kept'] });
    },
    steps: [
      ...[begins(), isHeld(), leave, ends({ code: status.CANCELLED }), begins()],
      ...[letsGo(), ends({ ...ok, messages: ['kept'], replayed: true })],
      call({}, { ...ok, messages: ['kept'], replayed: true }),
    ],
    leaves: once,
    counts: { executed: 1, joined: 1, replayed: 1 },
  },
];

/** Section 3. */
export const endingRows: readonly Row[] = [...everyCode.map(ended), ...careless, ...late, ...clientGone];
