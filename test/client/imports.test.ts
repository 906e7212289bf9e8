import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import test from 'ava';

/**
 * Returns all modules that an import of this module loads: files by their path in the library, packages by
 * name.
 */
function loaded(url: URL, modules = new Set<string>()): Set<string> {
  const name = url.href.split('/dist/').at(-1) ?? '';
  if (modules.has(name)) return modules;
  modules.add(name);
  const imports = readFileSync(fileURLToPath(url), 'utf8').matchAll(
    /^(?:import|export) [^;]*?from '([^']+)';|^import '([^']+)'/gms,
  );
  for (const [, from, bare] of imports) {
    const target = String(from ?? bare);
    if (target.startsWith('.')) loaded(new URL(target, url), modules);
    else modules.add(target);
  }
  return modules;
}

test('grpc-replay-guard/client loads no module of the server part', (t) => {
  const all = [...loaded(new URL(import.meta.resolve('grpc-replay-guard/client')))];
  const files = all.filter((name) => name.endsWith('.js') && !/^(client|protocol|execution)\//.test(name));
  t.deepEqual(files.sort(), [
    'context/context-value.js',
    'context/copies.js',
    'options/known-options.js',
    'options/whole-number.js',
    'store/record-id.js',
    'timing/backoff.js',
    'wire/fields.js',
    'wire/message-format.js',
    'wire/wire-reader.js',
    'wire/wire-writer.js',
  ]);
  const packages = all.filter((name) => !name.endsWith('.js') && !name.startsWith('node:'));
  t.deepEqual(packages.sort(), ['@grpc/grpc-js']);
});
