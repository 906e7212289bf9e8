import { Metadata } from '@grpc/grpc-js';
import fc from 'fast-check';

/** Limits of the test server, in bytes. */
export const LIMITS = { maxReplyBytes: 20_000, maxMessageBytes: 8_000 } as const;

/** An entry of metadata. The value may be one that `Metadata` itself refuses. */
export type Entry = readonly [name: string, value: unknown];

/** The answer of a handler: any values, in the order in which the handler sends them. */
export interface HandlerAnswer {
  readonly initial: readonly Entry[] | undefined;
  /** The sizes of the messages. `text` stands for a serializer that returns text. */
  readonly messages: readonly (number | 'text')[];
  readonly code: unknown;
  readonly details: unknown;
  readonly trailing: readonly Entry[] | undefined;
}

/** Text of any UTF-16 code units, halves of pairs included. */
const anyText = fc
  .array(fc.integer({ max: 0xffff }), { maxLength: 12 })
  .map((units) => String.fromCharCode(...units));
const plainText = fc.string({ unit: 'grapheme-ascii', maxLength: 12 });
/** Sizes around each limit, and sizes that end a connection if they are sent. */
const largeText = fc
  .oneof(
    fc.integer({ min: 7_500, max: 7_700 }),
    fc.integer({ min: 19_900, max: 20_100 }),
    fc.integer({ min: 60_000, max: 140_000 }),
  )
  .map((length) => 'd'.repeat(length));
const details = fc.oneof(
  { weight: 4, arbitrary: plainText },
  { weight: 2, arbitrary: fc.string({ unit: 'binary', maxLength: 12 }) },
  { weight: 2, arbitrary: anyText },
  { weight: 1, arbitrary: largeText },
  { weight: 1, arbitrary: fc.constantFrom<unknown>(undefined, null, 7, {}, Object.create(null)) },
);

const legalName = fc.constantFrom('x-a', 'x-b', 'etag', 'retry-after', 'content-type', 'date');
const hostileName = fc.constantFrom(
  ...['connection', 'te', 'content-length', 'a:b', ':status', 'grpc-status', 'grpc-message', 'grpc-encoding'],
  ...['grpc-other', 'from', '__proto__', 'constructor', 'idempotent-replayed', 'idempotency-expires-at'],
);
const bytes = fc.uint8Array({ maxLength: 9 }).map((list) => Buffer.from(list));
const entry: fc.Arbitrary<Entry> = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(legalName, plainText) },
  { weight: 3, arbitrary: fc.tuple(fc.constantFrom('x-a-bin', 'x-b-bin'), bytes) },
  { weight: 1, arbitrary: fc.tuple(hostileName, plainText) },
  {
    weight: 1,
    arbitrary: fc.tuple(legalName, fc.oneof(anyText, largeText, fc.constantFrom(undefined, null, 5))),
  },
  { weight: 1, arbitrary: fc.tuple(fc.constant('x-a-bin'), fc.oneof(plainText, largeText.map(Buffer.from))) },
);
const entries = fc.option(
  fc.oneof(
    { weight: 12, arbitrary: fc.array(entry, { maxLength: 4 }) },
    {
      weight: 1,
      arbitrary: fc.integer({ min: 115, max: 200 }).map((count) => Array<Entry>(count).fill(['x-a', ''])),
    },
  ),
  { nil: undefined },
);

const code: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom(0, 0, 5, 9) },
  { weight: 3, arbitrary: fc.integer({ min: 0, max: 16 }) },
  {
    weight: 1,
    arbitrary: fc.constantFrom<unknown>(17, -1, 1.5, Number.NaN, 2 ** 32, '5', 'OK', null, undefined),
  },
);
const size = fc.oneof(
  { weight: 4, arbitrary: fc.nat(100) },
  { weight: 1, arbitrary: fc.integer({ min: 7_990, max: 8_010 }) },
  { weight: 1, arbitrary: fc.constantFrom<number | 'text'>('text', 0) },
);

/** Answers of handlers: ordinary ones, ones near a limit, and ones that gRPC or HTTP/2 cannot carry. */
export const handlerAnswer: fc.Arbitrary<HandlerAnswer> = fc.record({
  initial: entries,
  messages: fc.array(size, { maxLength: 4 }),
  code,
  details,
  trailing: entries,
});

/** Makes metadata without the checks of `Metadata`. */
export function toMetadata(list: readonly Entry[]): Metadata {
  const metadata = new Metadata();
  for (const [name, value] of list) {
    metadata.add(name, name.endsWith('-bin') ? Buffer.of() : '');
    const values: unknown[] | undefined = metadata.toJSON()[name];
    // `__proto__` is not an own property.
    if (Object.hasOwn(metadata.toJSON(), name)) values?.splice(-1, 1, value);
  }
  return metadata;
}
