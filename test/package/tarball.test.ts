import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import test from 'ava';
import { packLibrary } from '../examples/installed.js';
import type { Cleanup } from '../helpers/databases/postgres.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const run = promisify(execFile);

let tarball: string;
/** A folder whose programs find the library as the tarball installs it, and other packages in the checkout. */
let project: string;
let library: string;
const teardowns: Parameters<Cleanup['teardown']>[0][] = [];

test.before(async () => {
  tarball = await packLibrary({ teardown: (end) => teardowns.push(end) });
  project = await mkdtemp(join(root, 'dist/installed-'));
  teardowns.push(() => rm(project, { recursive: true, force: true }));
  library = join(project, 'node_modules/grpc-replay-guard');
  await mkdir(library, { recursive: true });
  await run('tar', ['-xzf', tarball, '-C', library, '--strip-components=1']);
});
test.after.always(async () => {
  for (const end of teardowns) await end();
});

/** The files of the package with an extension, as paths from its folder. */
function packed(extension: string): string[] {
  const names = readdirSync(library, { recursive: true, encoding: 'utf8' });
  return names.filter((name) => name.endsWith(extension) && statSync(join(library, name)).isFile());
}

const read = (name: string) => readFileSync(join(library, name), 'utf8');

/** Runs a program in the project. Resolves to its output on both streams, also if the program fails. */
async function runProgram(name: string, code: string, ...flags: string[]): Promise<string> {
  await writeFile(join(project, name), code);
  const { stdout, stderr } = await run(process.execPath, [...flags, name], { cwd: project }).catch(
    (error) => error,
  );
  return `${stdout}${stderr}`;
}

test('publint reports no fault in the tarball', async (t) => {
  const { stdout } = await run('npx', ['--no-install', 'publint', tarball, '--strict'], { cwd: root });
  t.regex(stdout, /All good!/);
});

test('each `moduleResolution` of TypeScript finds the types of each entry, for import and for require', async (t) => {
  t.timeout(120_000);
  // attw fails if it finds a problem.
  const attw = await run('npx', ['--no-install', 'attw', tarball, '--format', 'json'], {
    cwd: root,
    maxBuffer: 2 ** 26,
  });
  const { types, entrypoints } = JSON.parse(attw.stdout).analysis;
  t.is(types.kind, 'included');
  t.true(Object.keys(entrypoints).length > 20);
});

test('every source map of the package names files of the package', (t) => {
  const compiled = [...packed('.js'), ...packed('.d.ts')].filter((name) => name.startsWith('dist'));
  t.true(compiled.length > 400, 'the compiled files are found');
  const missing = compiled.flatMap((name) => {
    const [, link = ''] = /^\/\/# sourceMappingURL=(.+)$/m.exec(read(name)) ?? [];
    const map = join(dirname(name), link);
    if (link === '' || !existsSync(join(library, map))) return [`${name} has no map`];
    const sources: string[] = JSON.parse(read(map)).sources;
    const paths = sources.map((source) => resolve(library, dirname(map), source));
    return paths
      .filter((path) => relative(library, path).startsWith('..') || !existsSync(path))
      .map((path) => `${map}: ${path}`);
  });
  t.deepEqual(missing, []);
});

for (const [form, name, load] of [
  [
    'the ES module',
    'frame.mjs',
    "await import('./node_modules/grpc-replay-guard/dist/replay-guard/index.js')",
  ],
  [
    'the CommonJS form',
    'frame.cjs',
    "require('./node_modules/grpc-replay-guard/dist/cjs/replay-guard/index.js')",
  ],
] as const) {
  test(`a stack frame of ${form} names the source line in the package`, async (t) => {
    const code = `const { createReplayGuard } = ${load};\ncreateReplayGuard({ stoer: 1 });`;
    const printed = await runProgram(name, code, '--enable-source-maps');
    const [, file = '', line = ''] = /at .*\((.+\.ts):(\d+):\d+\)/.exec(printed) ?? [];
    t.false(relative(library, file).startsWith('..'), printed);
    t.regex(readFileSync(file, 'utf8').split('\n')[Number(line) - 1] ?? '', /throw /);
  });
}

test('the include directory makes proto-loader read the policy option, for import and for require', async (t) => {
  await writeFile(
    join(project, 'orders.proto'),
    `syntax = "proto3";
    package orders;
    import "replayguard/v1/policy.proto";
    service Orders { rpc Place(Order) returns (Order) { option (replayguard.v1.policy) = { mode: MODE_OFF }; } }
    message Order { string id = 1; }`,
  );
  const use = `
    const { 'orders.Orders': orders } = loadSync('orders.proto', { includeDirs: ['.', includeDir] });
    console.log(JSON.stringify(orders.Place.options));`;
  const imports =
    "import { loadSync } from '@grpc/proto-loader';\nimport { includeDir } from 'grpc-replay-guard/proto';";
  const requires =
    "const { loadSync } = require('@grpc/proto-loader');\nconst { includeDir } = require('grpc-replay-guard/proto');";
  for (const [name, load] of [
    ['include.mjs', imports],
    ['include.cjs', requires],
  ] as const) {
    t.regex(await runProgram(name, `${load}${use}`), /replayguard\.v1\.policy.*MODE_OFF/, name);
  }
});

test('the package.json of the package can be imported by its name', async (t) => {
  const code = "console.log(require('grpc-replay-guard/package.json').version)";
  t.is((await runProgram('version.cjs', code)).trim(), JSON.parse(read('package.json')).version);
});

test('every relative link in a document of the package has a target in the package', (t) => {
  const documents = packed('.md');
  for (const name of ['README.md', 'CHANGELOG.md', 'docs/contract.md', 'docs/guide/first-steps.md']) {
    t.true(documents.includes(name), name);
  }
  const textOf = (name: string) => read(name).replaceAll(/^```.*?^```$|(`+).+?\1/gms, '');
  const broken = documents.flatMap((name) =>
    [...textOf(name).matchAll(/\]\((?![a-z]+:|#)([^)#\s]+)/g)]
      .map(([, link = '']) => resolve(library, dirname(name), link))
      .filter((path) => relative(library, path).startsWith('..') || !existsSync(path))
      .map((path) => `${name}: ${path}`),
  );
  t.deepEqual(broken, []);
});
