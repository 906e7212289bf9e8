import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import test from 'ava';
import { house, root } from '../house/checkout.js';
import { exportsOf, starsOf } from '../house/exports.js';
import { publicNames } from './public-names.js';

const { entries } = house.packages;

test('the package entries are the listed entries', (t) => {
  const manifest = JSON.parse(readFileSync(join(root, 'interceptors/package.json'), 'utf8'));
  const names = Object.keys(manifest.exports).map((entry) => join(manifest.name, entry));
  const files = ['package.json', 'proto', 'proto/*'].map((entry) => join(manifest.name, entry));
  t.deepEqual(names.sort(), [...files, ...Object.keys(publicNames)].sort());
});

test('an entry is one ES module for import and require, and a CommonJS module for tools that need one', (t) => {
  const manifest = JSON.parse(readFileSync(join(root, 'interceptors/package.json'), 'utf8'));
  for (const [entry, target] of Object.entries<string | { readonly import: string }>(manifest.exports)) {
    if (typeof target === 'string') continue;
    const { import: module } = target;
    t.regex(module, /^\.\/dist\/(?!cjs\/).*\.js$/, entry);
    // Node reads the conditions in this order. Two forms in one process would be two copies of the library.
    const required = module.replace('./dist/', './dist/cjs/');
    t.is(
      JSON.stringify(target),
      JSON.stringify({ import: module, 'module-sync': module, require: required }),
    );
  }
});

test('a TypeScript that reads no exports finds the types of each entry', (t) => {
  const manifest = JSON.parse(readFileSync(join(root, 'interceptors/package.json'), 'utf8'));
  const { '*': found } = manifest.typesVersions;
  const modules = Object.entries<{ readonly require?: string }>(manifest.exports);
  const expected = modules.flatMap(([entry, { require: module }]) =>
    module && entry !== '.' ? [[entry.slice(2), [module.replace(/\.js$/, '.d.ts')]]] : [],
  );
  // Without this line, the name of the entry would lead to the folder of the `.proto` files.
  const proto = ['./proto.d.cts'];
  t.deepEqual(found, { ...Object.fromEntries(expected), proto });
  t.is(manifest.main, manifest.exports['.'].require);
  t.is(manifest.types, manifest.main.replace(/\.js$/, '.d.ts'));
});

test('only grpc-js must be installed beside the library', (t) => {
  const manifest = JSON.parse(readFileSync(join(root, 'interceptors/package.json'), 'utf8'));
  const { peerDependencies, peerDependenciesMeta } = manifest;
  const needed = Object.keys(peerDependencies).filter((name) => !peerDependenciesMeta[name]?.optional);
  t.deepEqual(needed, ['@grpc/grpc-js']);
});

test('require loads the same modules as import', async (t) => {
  const require = createRequire(import.meta.url);
  for (const entry of Object.keys(publicNames)) {
    const imported = await import(entry);
    t.is(require(entry), imported, entry);
  }
});

for (const [entry, { values, types }] of Object.entries(publicNames)) {
  test(`${entry} can be imported and exports exactly the listed values`, async (t) => {
    t.deepEqual(Object.keys(await import(entry)).sort(), [...values].sort());
  });

  test(`${entry} exports exactly the listed types`, (t) => {
    const names = namesOf(entries.get(entry) ?? '');
    t.deepEqual(names.filter((name) => !values.includes(name)).sort(), [...types].sort());
  });
}

test('every exported error has a code of its own', async (t) => {
  const modules = await Promise.all(Object.keys(publicNames).map((entry) => import(entry)));
  const values = new Set(modules.flatMap((module) => Object.values<unknown>(module)));
  const errors = [...values].filter(isErrorClass);
  const codes = errors.map((ErrorClass) => [ErrorClass.name, new ErrorClass('a problem', 0).code] as const);
  t.true(codes.length >= 12);
  const isCode = (code: unknown) => /^REPLAY_GUARD_[A-Z_]+$/.test(String(code));
  t.deepEqual(
    codes.filter(([, code]) => !isCode(code)).map(([name]) => name),
    [],
  );
  t.is(new Set(codes.map(([, code]) => code)).size, codes.length);
});

type ErrorClass = new (...args: unknown[]) => Error & { readonly code?: unknown };

const isErrorClass = (value: unknown): value is ErrorClass =>
  typeof value === 'function' && value.prototype instanceof Error;

/** Returns the names that a file exports: values and types, also by `export * from`. */
function namesOf(path: string): string[] {
  const file = house.files.get(path);
  if (!file) return [];
  const forwarded = starsOf(file).map((star) => file.imports.find(({ specifier }) => specifier === star));
  return [
    ...exportsOf(file).map(({ name }) => name),
    ...forwarded.flatMap((star) => namesOf(star?.target ?? '')),
  ];
}
