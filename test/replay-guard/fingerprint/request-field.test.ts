import test from 'ava';
import { readField } from '#library/replay-guard/fingerprint/request-field.js';
import { codegens, emptyParcel, type Parcel } from '../../helpers/codegens/index.js';

const item = { sku: 'sku-1', quantity: 1, seenAt: 5 };
const parcel: Parcel = {
  ...emptyParcel,
  ...{ meta: { requestId: 'key-1', trace: '' }, receiver: 'ann', items: [item], comment: 'c' },
  boxes: [[1, item]],
};

for (const codegen of codegens) {
  /** Returns the decoded request, as a handler gets it. */
  const decoded = (from: Parcel) => {
    const method = Object.values(codegen.service).find(({ path }) => path.endsWith('/Send'));
    return method?.requestDeserialize(codegen.methods.Send.requestSerialize(codegen.message(from)));
  };

  test(`${codegen.name}: readField returns the string at a path`, (t) => {
    const request = decoded(parcel);
    for (const path of ['meta.request_id', 'meta.requestId']) t.is(readField(request, path), 'key-1', path);
    t.is(readField(request, 'receiver'), 'ann');
    t.is(readField(request, 'comment'), 'c');
    t.is(readField(decoded({ ...parcel, payment: { card: 'card-1' } }), 'card'), 'card-1');
    t.is(readField(decoded({ ...parcel, payment: { goods: item } }), 'goods.sku'), 'sku-1');
  });

  test(`${codegen.name}: readField returns undefined for an empty, absent or non-string value`, (t) => {
    const request = decoded(parcel);
    const none = ['meta.trace', 'meta', 'items', 'items.sku', 'boxes.sku', 'label', 'fragile'];
    for (const path of [
      ...none,
      'clientTime',
      'client_time.seconds',
      'nothing',
      'meta.nothing',
      'receiver.x',
    ])
      t.is(readField(request, path), undefined, path);
    // Unset members of a oneof, and inherited properties.
    for (const path of [
      'card',
      'voucher',
      'goods.sku',
      'constructor',
      'constructor.name',
      '__proto__',
      'toString',
    ])
      t.is(readField(request, path), undefined, path);
    const { meta: _, ...rest } = parcel;
    t.is(readField(decoded(rest), 'meta.request_id'), undefined);
  });
}

test('readField prefers an exact name to an equal name in camelCase', (t) => {
  t.is(readField({ requestId: 'a', request_id: 'b' }, 'request_id'), 'b');
  t.is(readField({ requestId: 'a', request_id: 'b' }, 'requestId'), 'a');
  t.is(readField({ line1: 'a' }, 'line_1'), 'a');
  t.is(readField({ foobar: 'a' }, 'foo_bar'), undefined);
});

test('readField returns undefined for a value that is not a message', (t) => {
  for (const value of [undefined, null, 'text', 5, [{ a: 'b' }], Buffer.from('a')])
    t.is(readField(value, 'a'), undefined);
  // A message with a field named `case` is not a oneof.
  t.is(readField({ choice: { case: 'a', value: 'b' } }, 'a'), undefined);
});
