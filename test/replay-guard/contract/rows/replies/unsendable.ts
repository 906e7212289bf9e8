import { Metadata, type MetadataValue, status } from '@grpc/grpc-js';
import {
  type Expected,
  handlerFailed,
  notStored,
  ok,
  refusals,
  unguarded,
} from '../../table/expected-result.js';
import { endsWith, type HandlerResponse, type Script } from '../../table/handlers.js';
import { executedOnce, failureStored, finalState, type Row } from '../../table/row.js';
import { type StoreName, unary, unaryAndStreaming } from '../../table/setup.js';
import { call, replays } from '../../table/steps.js';

/** The guard judges a reply before it asks the store, so one database shows the rollback. */
const stores: readonly StoreName[] = ['memory', 'sqlite'];

/** The limits of a handler's metadata in one block. An entry counts 32 bytes more than its name and value. */
const MAX_BYTES = 7_680;
const MAX_ENTRIES = 120;

const entry = (...values: MetadataValue[]) => of('x', ...values);
const entryOf = (bytes: number) => entry('v'.repeat(bytes - 'x'.length - 32));
const entries = (count: number) => entry(...Array<string>(count).fill(''));

function of(name: string, ...values: MetadataValue[]): Metadata {
  const metadata = new Metadata();
  for (const value of values) metadata.add(name, value);
  return metadata;
}

/** Metadata with a value that `Metadata` itself would refuse. */
function forged(name: string, value: unknown): Metadata {
  const metadata = of(name, name.endsWith('-bin') ? Buffer.of() : '');
  metadata.toJSON()[name]?.splice(0, 1, value as string);
  return metadata;
}

/** Replies of exactly the limit. The status message `OK` counts as 2 bytes of the trailing block. */
const fitting: Readonly<Record<string, HandlerResponse>> = {
  'initial metadata': { initial: entryOf(MAX_BYTES) },
  'trailing metadata and status message': { trailing: entryOf(MAX_BYTES - 2) },
  'entries in each block': { initial: entries(MAX_ENTRIES), trailing: entries(MAX_ENTRIES) },
};

const tooLarge: Readonly<Record<string, readonly [HandlerResponse, Expected]>> = {
  'initial metadata': [{ initial: entryOf(MAX_BYTES + 1) }, refusals.replyTooLarge(MAX_BYTES)],
  'trailing metadata and status message': [
    { trailing: entryOf(MAX_BYTES - 1) },
    refusals.replyTooLarge(MAX_BYTES),
  ],
  'binary trailing metadata, in base64': [
    { trailing: of('x-bin', Buffer.alloc(MAX_BYTES * 0.75)) },
    refusals.replyTooLarge(MAX_BYTES),
  ],
  'number of initial entries': [
    { initial: entries(MAX_ENTRIES + 1) },
    refusals.replyTooLarge(MAX_ENTRIES, 'entries'),
  ],
  'number of trailing entries': [
    { trailing: entries(MAX_ENTRIES + 1) },
    refusals.replyTooLarge(MAX_ENTRIES, 'entries'),
  ],
};

const sized = [
  ...Object.entries(fitting).map(
    ([what, response]): Row => ({
      title: `${what} of exactly the maximum size: the reply is stored and replayed`,
      methods: unaryAndStreaming,
      stores,
      handler: endsWith(status.OK, { ids: ['id'], ...response }),
      steps: [call({}, { ...ok, messages: ['id'], ...received(response) }), replays()],
      final: executedOnce,
      counts: { executed: 1, replayed: 1 },
    }),
  ),
  ...Object.entries(tooLarge).flatMap(([what, [response, refusal]]): Row[] =>
    [status.OK, status.NOT_FOUND].map((code) => ({
      title: `${what} above the limit, ${status[code]}: the writes roll back, and the refusal is stored`,
      methods: unaryAndStreaming,
      stores,
      handler: endsWith(code, { ids: ['id'], ...response }),
      steps: [call({}, { ...refusal, messages: 0 }), replays()],
      final: failureStored,
      counts: { executed: 1, replayed: 1 },
    })),
  ),
];

/** The metadata as the client receives it. HTTP/2 joins the text values of one name. */
function received({ initial, trailing }: HandlerResponse): Pick<Expected, 'initial' | 'trailing'> {
  const joined = (metadata: Metadata) => ({ x: [metadata.get('x').join(', ')] });
  return { ...(initial && { initial: joined(initial) }), ...(trailing && { trailing: joined(trailing) }) };
}

const halfEmoji = 'Zoe \u{1F600}'.slice(0, -1);
const refusedByHttp2: Readonly<Record<string, Metadata>> = {
  'a name of the connection': of('transfer-encoding', 'chunked'),
  'a pseudo-header': of(':path', 'x'),
  'a colon in a name': of('a:b', 'x'),
  'a length': of('content-length', '7'),
  'another content type': of('content-type', 'text/html'),
  'a status of its own': of('grpc-status', '7'),
  'an encoding of its own': of('grpc-encoding', 'gzip'),
  'two values of a single-value name': of('from', 'a', 'b'),
  'a value with a control character': forged('x', 'a\u0000b'),
  'a value with a letter outside ASCII': forged('x', 'é'),
  'a value that is a number': forged('x', 5),
  'no value': forged('x', undefined),
  'text under a binary name': forged('x-bin', 'text'),
  'bytes under a text name': forged('x', Buffer.of(1)),
};

/** Answers that cannot be sent, in stored results. */
const faulty: Readonly<Record<string, HandlerResponse>> = {
  'a status message that is cut in an emoji': { error: { code: status.NOT_FOUND, details: halfEmoji } },
  'the same after initial metadata': {
    initial: entry('a'),
    error: { code: status.NOT_FOUND, details: halfEmoji },
  },
  'status 17': { error: { code: 17, details: 'no such code' } },
  'status -1': { error: { code: -1, details: 'no such code' } },
  ...Object.fromEntries(
    Object.entries(refusedByHttp2).flatMap(([what, metadata]) => [
      [`${what} in the trailing metadata`, { trailing: metadata }],
      [`${what} in the initial metadata`, { initial: metadata }],
    ]),
  ),
};

/** The first execution ends with the faulty answer. The second execution succeeds. */
const once =
  (response: HandlerResponse): Script =>
  async ({ execution, write, respond }) => {
    await write();
    respond(execution === 1 ? response : {});
  };

const unsendable = [
  ...Object.entries(faulty).map(([what, response]): Row => unsendableRow(what, response, unaryAndStreaming)),
  unsendableRow('status OK without a message', { error: { code: status.OK, details: 'OK' } }, unary),
];

function unsendableRow(what: string, response: HandlerResponse, methods: Row['methods'] & {}): Row {
  return {
    title: `${what}: the execution rolls back, and a retry executes`,
    methods,
    stores,
    handler: once(response),
    steps: [call({}, handlerFailed), call(), replays()],
    final: finalState('completed', 2, 1),
    counts: { released: 1, executed: 1, replayed: 1 },
  };
}

const replaced: Readonly<Record<string, HandlerResponse>> = {
  'a status message that is cut in an emoji': { error: { code: status.ABORTED, details: halfEmoji } },
  'a status message above the limit': {
    initial: entry('a'),
    error: { code: status.ABORTED, details: 'd'.repeat(MAX_BYTES + 1) },
  },
  'metadata that HTTP/2 refuses': {
    error: { code: status.ABORTED, details: 'x' },
    trailing: of('from', 'a', 'b'),
  },
};

const failures = Object.entries(replaced).map(
  ([what, response]): Row => ({
    title: `a failure that is not stored has ${what}: its status code is sent, and a retry executes`,
    methods: unaryAndStreaming,
    stores,
    handler: once(response),
    steps: [
      call(
        {},
        {
          ...notStored(status.ABORTED),
          details: 'the status message or the metadata of this failure cannot be sent',
        },
      ),
      ...[call(), replays()],
    ],
    final: finalState('completed', 2, 1),
    counts: { released: 1, executed: 1, replayed: 1 },
  }),
);

const large = { ids: ['id'], initial: entryOf(MAX_BYTES + 1), trailing: entries(MAX_ENTRIES - 1) };
const observed: Row = {
  title: 'in mode OBSERVE, a reply above a limit is sent as it is, and not stored',
  methods: unaryAndStreaming,
  stores,
  setup: { policy: { mode: 'OBSERVE' }, methods: unaryAndStreaming },
  handler: endsWith(status.OK, large),
  steps: [call({}, { ...unguarded, messages: ['id'], ...received(large) })],
  final: { records: [], executions: 1, effects: 1 },
  counts: { bypassed: 1 },
};

/** Answers of handlers that gRPC cannot carry. */
export const unsendableRows: readonly Row[] = [...sized, ...unsendable, ...failures, observed];
