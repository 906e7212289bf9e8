import { randomUUID } from 'node:crypto';
import test from 'ava';
import fc from 'fast-check';
import { type AppendModel, encodeAppend } from '../../helpers/messages/append-wire.js';
import { assertProperty } from '../../helpers/messages/assert-property.js';
import { chooseBy, chooseUsual, decisions } from '../../helpers/messages/encoder-choices.js';
import { openLedger } from '../../helpers/servers/guarded-ledger.js';

const text = fc.string({ maxLength: 6, unit: 'grapheme' });
const int32 = fc.integer();
const int64 = fc.maxSafeInteger();
const uint32 = fc.nat();
const line = fc.record({ sku: text, quantity: uint32 });
const counts = fc.uniqueArray(fc.tuple(text, int64), { maxLength: 4, selector: ([key]) => key });
const detail = fc.record({ text, counts });

const append: fc.Arbitrary<AppendModel> = fc.record({
  account: text,
  amountMinor: int64,
  labels: fc.uniqueArray(fc.tuple(text, text), { maxLength: 5, selector: ([key]) => key }),
  details: fc.uniqueArray(fc.tuple(int32, detail), { maxLength: 4, selector: ([key]) => key }),
  source: fc.oneof(fc.constant(undefined), fc.record({ card: text }), fc.record({ goods: line })),
  note: fc.option(text, { nil: undefined }),
  lines: fc.array(line, { maxLength: 4 }),
  tags: fc.array(fc.integer({ min: -1_000_000, max: 1_000_000 }), { maxLength: 6 }),
  data: fc.uint8Array({ maxLength: 6 }),
  kind: fc.nat(5),
  rate: fc.double({ noNaN: true }),
  booked: fc.option(fc.record({ seconds: int64, nanos: fc.nat(999_999_999) }), { nil: undefined }),
});

test('another encoding of a request is the same request', async (t) => {
  const ledger = await openLedger(t, 'memory');
  const { Append } = ledger.definition;
  const property = fc.asyncProperty(append, decisions, async (model, numbers) => {
    const key = randomUUID();
    await ledger.connection.callBytes(Append, encodeAppend(model, chooseUsual), { key });
    const other = await ledger.connection.callBytes(Append, encodeAppend(model, chooseBy(numbers)), { key });
    return other.replayed;
  });
  await assertProperty(t, property, 300);
});

test('a request with one field changed is another request', async (t) => {
  const ledger = await openLedger(t, 'memory');
  const { Append } = ledger.definition;
  const fields = fc.constantFrom(...(Object.keys(emptyKeys) as (keyof AppendModel)[]));
  const property = fc.asyncProperty(
    append,
    append,
    fields,
    decisions,
    async (model, source, changed, numbers) => {
      const mutated = { ...model, [changed]: source[changed] };
      fc.pre(JSON.stringify(sorted(mutated[changed])) !== JSON.stringify(sorted(model[changed])));
      const key = randomUUID();
      await ledger.connection.callBytes(Append, encodeAppend(model, chooseUsual), { key });
      const other = await ledger.connection.callBytes(Append, encodeAppend(mutated, chooseBy(numbers)), {
        key,
      });
      return other.statusDetails?.errorInfo?.reason === 'IDEMPOTENCY_KEY_REUSED';
    },
  );
  await assertProperty(t, property, 300);
});

const emptyKeys: Record<keyof AppendModel, true> = {
  ...{ account: true, amountMinor: true, labels: true, details: true, source: true, note: true },
  ...{ lines: true, tags: true, data: true, kind: true, rate: true, booked: true },
};

/** Sorts lists of pairs at every depth, because they represent maps, which have no order. */
function sorted(value: unknown): unknown {
  if (Object.is(value, -0)) return '-0';
  if (Array.isArray(value)) {
    const entries = value.map(sorted);
    return value.every(Array.isArray)
      ? entries.sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1))
      : entries;
  }
  if (value === null || typeof value !== 'object') return typeof value === 'number' ? String(value) : value;
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, sorted(entry)]));
}
