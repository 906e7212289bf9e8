import test from 'ava';
import { assertKnownOptions } from '#library/options/known-options.js';

interface Options {
  readonly path?: string;
  readonly limit?: number;
}

const names = { path: true, limit: true } as const;

test('known options pass, with and without values', (t) => {
  for (const options of [{}, { path: 'a' }, { path: 'a', limit: 1 }, { limit: undefined as never }]) {
    t.notThrows(() => assertKnownOptions<Options>('open', options, names));
  }
});

test('an unknown option is refused with an error that names this option and the known options', (t) => {
  const options: object = { path: 'a', limt: 1 };
  t.throws(() => assertKnownOptions<Options>('open', options, names), {
    instanceOf: TypeError,
    message: 'open: unknown option limt; its options are path, limit',
  });
});

test('options that are not an object are refused', (t) => {
  for (const options of [undefined, null, 'a.db', 1]) {
    t.throws(() => assertKnownOptions<Options>('open', options as never, names), {
      instanceOf: TypeError,
      message: 'open: options must be an object',
    });
  }
});

test('names of Object.prototype are unknown options', (t) => {
  for (const name of ['constructor', 'toString']) {
    const options: object = { [name]: 1 };
    t.throws(() => assertKnownOptions<Options>('open', options, names), {
      message: `open: unknown option ${name}; its options are path, limit`,
    });
  }
});
