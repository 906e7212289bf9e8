import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import test from 'ava';

/** Every module that importing this one loads: files by their path in the library, packages by their name. */
function loaded(url: URL, seen = new Set<string>()): Set<string> {
  const name = url.href.split('/dist/').at(-1) ?? '';
  if (seen.has(name)) return seen;
  seen.add(name);
  const imports = readFileSync(fileURLToPath(url), 'utf8').matchAll(
    /^(?:import|export) [^;]*?from '([^']+)';|^import '([^']+)'/gms,
  );
  for (const [, from, only] of imports) {
    const target = String(from ?? only);
    if (target.startsWith('.')) loaded(new URL(target, url), seen);
    else seen.add(target);
  }
  return seen;
}

test('the client part of the library loads nothing of the server’s', (t) => {
  const all = [...loaded(new URL(import.meta.resolve('grpc-replay-guard/client')))];
  const files = all.filter((name) => name.endsWith('.js') && !/^(client|protocol|execution)\//.test(name));
  t.deepEqual(files, ['store/record-id.js']);
  const packages = all.filter((name) => !name.endsWith('.js') && !name.startsWith('node:'));
  t.deepEqual(packages.sort(), ['@grpc/grpc-js', 'protobufjs', 'uuid']);
});
