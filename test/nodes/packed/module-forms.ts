// Runs in the projects of `npm run test:nodes` only: the checkout has no CommonJS form of the library.
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import test from 'ava';
import { publicNames } from '../../types/public-names.js';

const require = createRequire(import.meta.url);
const path = require.resolve('grpc-replay-guard/package.json');
const { exports: targets } = require(path);

for (const [entry, { values }] of Object.entries(publicNames)) {
  test(`${entry} loads by import, by require and in its CommonJS form`, async (t) => {
    const imported = await import(entry);
    t.is(require(entry), imported);
    const { require: file } = targets[entry.replace('grpc-replay-guard', '.')];
    const commonJs = require(join(dirname(path), file));
    t.not(commonJs, imported);
    for (const name of values) t.is(typeof commonJs[name], typeof imported[name], name);
  });
}

test('the library is the installed package, and Node is the binary of an npm package', (t) => {
  t.regex(path, /node_modules[\\/]grpc-replay-guard[\\/]package\.json$/);
  t.regex(process.execPath, /node_modules[\\/]node-[^\\/]+[\\/]bin[\\/]node/);
});
