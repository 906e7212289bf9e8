import test from 'ava';
import { image } from '../../helpers/codegens/index.js';
import { protoFile } from '../../helpers/messages/descriptors.js';
import { assertErrorNames, DO, openGuard, policyOption, proto, protoOf } from './fixtures.js';

const paths: Record<string, readonly [text: string, field: string, problem: string]> = {
  'an unknown key field': ['key_field: "idd"', 'keyField', 'idd'],
  'a key field that is a message': ['key_field: "part"', 'keyField', 'part'],
  'a key field that is a number': ['key_field: "number"', 'keyField', 'number'],
  'a key field that is bytes': ['key_field: "raw"', 'keyField', 'raw'],
  'a key field that is a list': ['key_field: "names"', 'keyField', 'names'],
  'a key field in a list': ['key_field: "parts.id"', 'keyField', 'parts.id'],
  'a key field in a map': ['key_field: "by_name.id"', 'keyField', 'by_name.id'],
  'a key field inside a string': ['key_field: "id.x"', 'keyField', 'id.x'],
  'an unknown excluded field': ['fingerprint_excludes: "idd"', 'fingerprintExcludes', 'idd'],
  'an unknown excluded field inside a message': [
    'fingerprint_excludes: "part.x"',
    'fingerprintExcludes',
    'part.x',
  ],
  'an excluded field inside a string': ['fingerprint_excludes: "id.x"', 'fingerprintExcludes', 'id.x'],
  'an excluded field in a map of strings': [
    'fingerprint_excludes: "texts.x"',
    'fingerprintExcludes',
    'texts.x',
  ],
};
const fields = `Part part = 3; int64 number = 4; bytes raw = 5; repeated string names = 6;
  map<string, Part> by_name = 7; map<string, string> texts = 8; Request again = 9; oneof o { Part chosen = 10; }`;

test('with a schema, protect refuses an invalid field path and names method and field', async (t) => {
  const methods = Object.values(paths).map(([text], at) => [`Do${at}`, policyOption(text)]);
  const file = await protoFile(t, protoOf(Object.fromEntries(methods), fields));
  const descriptors = await file.build();
  const plain = await protoFile(t, proto('', fields));
  for (const [at, [, field, problem]] of Object.values(paths).entries()) {
    assertErrorNames(t, file.bare, descriptors, `Do${at}`, field, problem);
    assertErrorNames(t, file.loaded, image, `Do${at}`, field, problem);
    const policies = { [DO]: { [field]: field === 'keyField' ? problem : [problem] } };
    const error = t.throws(() => openGuard(t, { policies }).protect(plain.loaded), { instanceOf: TypeError });
    for (const part of [DO, field, problem]) t.true(error?.message.includes(part), error?.message);
  }
});

test('with a schema, protect accepts valid field paths', async (t) => {
  const keyFields = ['id', 'part.id', 'again.part.id', 'chosen.id'];
  const excludes = [
    'id',
    'part',
    'part.id',
    'parts.id',
    'parts',
    'names',
    'byName.id',
    'by_name',
    'texts',
    'again.raw',
  ];
  const file = await protoFile(t, proto('', fields));
  for (const keyField of keyFields)
    t.notThrows(() => openGuard(t, { policies: { [DO]: { keyField } } }).protect(file.loaded), keyField);
  t.notThrows(() =>
    openGuard(t, { policies: { [DO]: { fingerprintExcludes: excludes } } }).protect(file.loaded),
  );
});
