import { randomUUID } from 'node:crypto';
import { Metadata, status } from '@grpc/grpc-js';
import test from 'ava';
import fc from 'fast-check';
import { onBoth, openLedger } from '../../helpers/servers/guarded-ledger.js';

interface HandlerAnswer {
  readonly code: number;
  readonly details: string;
  readonly id: string;
  readonly initial: readonly Entry[];
  readonly trailing: readonly Entry[];
}
type Entry = readonly [string, string | Buffer];

const printable = fc
  .string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 20 })
  .filter((text) => text.trim() === text);
const entry: fc.Arbitrary<Entry> = fc.oneof(
  fc.tuple(fc.constantFrom('x-a', 'x-b'), printable),
  fc.tuple(
    fc.constantFrom('x-a-bin', 'x-b-bin'),
    fc.uint8Array({ minLength: 1, maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
  ),
);
const handlerAnswer: fc.Arbitrary<HandlerAnswer> = fc.record({
  code: fc.constantFrom(status.OK, status.OK, status.NOT_FOUND, status.OUT_OF_RANGE),
  details: fc.string({ unit: 'grapheme', maxLength: 40 }),
  id: fc.string({ unit: 'grapheme', maxLength: 200 }),
  initial: fc.array(entry, { maxLength: 4 }),
  trailing: fc.array(entry, { maxLength: 4 }),
});

function toMetadata(entries: readonly Entry[]): Metadata {
  const metadata = new Metadata();
  for (const [name, value] of entries) metadata.add(name, value);
  return metadata;
}

/** The entries of the handler. HTTP/2 joins text entries of one name. */
const own = (metadata: Metadata | undefined) => [
  ...['x-a', 'x-b'].map((name) => metadata?.get(name).join(', ') ?? ''),
  ...['x-a-bin', 'x-b-bin'].map((name) => metadata?.get(name) ?? []),
];

test('a replay has the same status, message and metadata as the first reply', async (t) => {
  let next: HandlerAnswer | undefined;
  const ledger = await openLedger(t, 'memory', {
    handlers: () =>
      onBoth((_account, callback, call) => {
        const { code, details, id, initial, trailing } = next as HandlerAnswer;
        call.sendMetadata(toMetadata(initial));
        const metadata = toMetadata(trailing);
        if (code === status.OK) callback(null, { entryId: id }, metadata);
        else callback({ code, details, metadata });
      }),
  });
  const property = fc.asyncProperty(handlerAnswer, async (answer) => {
    next = answer;
    const key = randomUUID();
    const first = await ledger.append(key);
    next = undefined;
    const replay = await ledger.append(key);
    t.deepEqual([first.replayed, replay.replayed], [false, true]);
    t.is(first.code, answer.code);
    if (answer.code === status.OK) t.is(first.message?.entryId, answer.id);
    else t.is(first.details, answer.details);
    t.deepEqual(own(first.trailers), own(toMetadata(answer.trailing)));
    for (const part of ['code', 'details', 'bytes'] as const) t.deepEqual(replay[part], first[part]);
    t.deepEqual(own(replay.trailers), own(first.trailers));
    t.deepEqual(own(replay.initial), own(first.initial));
  });
  await t.notThrowsAsync(fc.assert(property, { numRuns: 200 }));
});
