import test from 'ava';
import { formatUuid, uuidv7 } from '#library/execution/uuid.js';

const form = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const msOf = (uuid: string) => Number.parseInt(uuid.slice(0, 8) + uuid.slice(9, 13), 16);

// The tests share the counter of the process, so the times of later tests are later.
let ms = Date.parse('2100-01-01');

test('a UUID has the version, the variant and the time of RFC 9562', (t) => {
  ms += 1;
  const uuid = uuidv7(ms);
  t.regex(uuid, form);
  t.is(msOf(uuid), ms);
  t.is(formatUuid(Buffer.alloc(16), 8), '00000000-0000-8000-8000-000000000000');
  t.is(formatUuid(Buffer.alloc(16, 0xff), 7), 'ffffffff-ffff-7fff-bfff-ffffffffffff');
});

test('UUIDs of one millisecond differ and sort by their order', (t) => {
  ms += 1;
  const uuids = Array.from({ length: 10_000 }, () => uuidv7(ms));
  t.true(uuids.every((uuid) => form.test(uuid) && msOf(uuid) === ms));
  t.is(new Set(uuids).size, uuids.length);
  t.deepEqual(uuids.toSorted(), uuids);
});

test('a UUID sorts after the earlier ones when the clock is set back', (t) => {
  ms += 1;
  const before = uuidv7(ms);
  const after = [uuidv7(ms - 60_000), uuidv7(0), uuidv7(ms)];
  t.deepEqual([before, ...after].toSorted(), [before, ...after]);
  t.true(uuidv7(ms + 1) > String(after.at(-1)));
});

test('two UUIDs share no more than the time', (t) => {
  const uuids = Array.from({ length: 100 }, () => uuidv7(++ms));
  t.is(new Set(uuids.map((uuid) => uuid.slice(14))).size, 100);
});
