import test from 'ava';
import { longestPath } from './directed-graph.js';
import { type Files, ImportGraph, type Packages } from './import-graph.js';
import type { Layer } from './rooms.js';
import {
  deepImports,
  excessImports,
  fileCycles,
  fullFolders,
  guardTraces,
  hiddenImports,
  matrixGaps,
  misplacedFiles,
  relativeEscapes,
  roomCycles,
  strayPackages,
  unresolvedImports,
  upwardImports,
  wrongWords,
} from './rules.js';

const packages: Packages = {
  entries: new Map([
    ['grpc-replay-guard', 'interceptors/replay-guard/index.ts'],
    ['grpc-replay-guard/outbox', 'interceptors/outbox/index.ts'],
  ]),
  aliases: new Map([
    ['#src/', 'src/'],
    ['#library/', 'interceptors/'],
  ]),
};
const planted = (files: Files) => new ImportGraph(files, packages);
const layers: readonly Layer[] = [
  [
    { path: 'interceptors/a', purpose: 'ground' },
    { path: 'interceptors/b', purpose: 'ground' },
  ],
  [{ path: 'interceptors/c', purpose: 'above' }],
  [{ path: 'interceptors/c/top.ts', purpose: 'a file that is a room' }],
];

for (const [form, text] of Object.entries({
  'a value import': "import { b } from './b.js';",
  'a type import': "import type { B } from './b.js';",
  'an import of a type beside a value': "import { b, type B } from './b.js';",
  'an import over several lines': "import {\n  b, // from 'c'\n  type B,\n} from './b.js';",
  'a default import': "import b, { type B } from './b.js';",
  'a namespace import': "import * as b from './b.js';",
  'an import for its effect': "import './b.js';",
  'a re-export of names': "export { b } from './b.js';",
  'a re-export of a type': "export type { B } from './b.js';",
  'a re-export of everything': "export * from './b.js';",
  'a dynamic import': "const b = await import('./b.js');",
  'a dynamic import of a constant template': 'const b = await import(`./b.js`);',
  'an import as a type': "let b: import('./b.js').B;",
  'an import after a regular expression': "const quotes = /['\"`]/;\nimport './b.js';",
  'an import inside a template expression': `const b = \`a \${await import('./b.js')} c\`;`,
})) {
  test(`${form} adds an arrow to the import graph`, (t) => {
    const graph = planted({ 'src/a.ts': text, 'src/b.ts': '' });
    t.deepEqual([...(graph.arrows.get('src/a.ts') ?? [])], ['src/b.ts']);
  });
}

for (const [form, text] of Object.entries({
  'an import in a line comment': "// import { b } from './b.js';",
  'an import in a block comment': "/* import './b.js'; */",
  'an import in a string': 'const text = "import \'./b.js\'";',
  'an import in a template': "const text = `\nimport './b.js';\n`;",
  'a method with the name from': "const b = list.from('./b.js');",
  'a division': "const half = total / 2; // import './b.js' /",
})) {
  test(`${form} adds no arrow to the import graph`, (t) => {
    t.is(planted({ 'src/a.ts': text, 'src/b.ts': '' }).arrows.get('src/a.ts')?.size, 0);
  });
}

test('imports by alias or package entry have a target, and imports of packages or generated files have none', (t) => {
  const text = ['#src/b.js', '#library/c/d.js', 'grpc-replay-guard', 'pg', '#src/gen/x.js', 'node:path']
    .map((specifier) => `import '${specifier}';`)
    .join('\n');
  const files = { 'test/a.ts': text, 'src/b.ts': '', 'interceptors/c/d.ts': '' };
  const graph = planted({ ...files, 'interceptors/replay-guard/index.ts': '' });
  const expected = ['src/b.ts', 'interceptors/c/d.ts', 'interceptors/replay-guard/index.ts'];
  t.deepEqual([...(graph.arrows.get('test/a.ts') ?? [])], expected);
});

test('the longest path counts the files on it, and a cycle counts as one file', (t) => {
  const chain = { 'src/a.ts': "import './b.js'", 'src/b.ts': "import './c.js'", 'src/c.ts': '' };
  t.is(longestPath(planted(chain).arrows), 3);
  t.is(longestPath(planted({ ...chain, 'src/c.ts': "import './b.js'" }).arrows), 2);
});

test('a cycle of files is found, also through type imports', (t) => {
  const graph = planted({
    'src/a.ts': "import { b } from './b.js'",
    'src/b.ts': "import type { C } from './c.js'",
    'src/c.ts': "export type { A } from './a.js'",
    'src/d.ts': "import './a.js'",
  });
  t.deepEqual(fileCycles(graph), ['cycle: src/a.ts, src/b.ts, src/c.ts']);
});

test('a cycle of rooms without a cycle of files is found', (t) => {
  const graph = planted({
    'interceptors/a/one.ts': "import '../b/one.js'",
    'interceptors/a/two.ts': '',
    'interceptors/b/one.ts': '',
    'interceptors/b/two.ts': "import '../a/two.js'",
  });
  t.deepEqual(fileCycles(graph), []);
  const between =
    'interceptors/a/one.ts:1 imports interceptors/b/one.ts; interceptors/b/two.ts:1 imports interceptors/a/two.ts';
  t.deepEqual(roomCycles(graph, layers), [`cycle: interceptors/a, interceptors/b (${between})`]);
});

test('an import of a higher layer or of the same layer is found', (t) => {
  const graph = planted({
    'interceptors/a/up.ts': "\nimport '../c/inner.js'",
    'interceptors/b/beside.ts': "import '../a/up.js'; import './own.js'",
    'interceptors/b/own.ts': '',
    'interceptors/c/inner.ts': "import '../a/up.js'; import './top.js'",
    'interceptors/c/top.ts': "import './inner.js'",
  });
  t.deepEqual(upwardImports(graph, layers), [
    'interceptors/a/up.ts:2 imports interceptors/c/inner.ts',
    'interceptors/b/beside.ts:1 imports interceptors/a/up.ts',
    'interceptors/c/inner.ts:1 imports interceptors/c/top.ts',
  ]);
});

test('a file without a room and a room without a file are found', (t) => {
  const graph = planted({ 'interceptors/a/x.ts': '', 'interceptors/c/x.ts': '', 'interceptors/x.ts': '' });
  t.deepEqual(misplacedFiles(graph, layers, 'interceptors'), [
    'interceptors/x.ts is in no room',
    'the room interceptors/b has no file',
    'the room interceptors/c/top.ts has no file',
  ]);
});

test('an import past the package entries of a closed room is found', (t) => {
  const graph = planted({
    'interceptors/outbox/index.ts': "import './inner.js'",
    'interceptors/outbox/inner.ts': '',
    'interceptors/client/a.ts': "import '../outbox/inner.js'",
    'src/a.ts': "import 'grpc-replay-guard/outbox'; import '#library/outbox/index.js'",
    'test/a.ts': "import '#library/outbox/inner.js'",
  });
  t.deepEqual(deepImports(graph), [
    'interceptors/client/a.ts:1 imports interceptors/outbox/inner.ts',
    'src/a.ts:1 imports interceptors/outbox/index.ts',
  ]);
});

test('a relative import of the library or the shop from outside is found', (t) => {
  const text = "import '../src/a.js'; import '#src/a.js'; import '../test/b.js'";
  const graph = planted({ 'test/a.ts': text, 'test/b.ts': '', 'src/a.ts': '' });
  t.deepEqual(relativeEscapes(graph), ['test/a.ts:1 imports src/a.ts']);
});

test('an import beyond the files that a file may import is found', (t) => {
  const graph = planted({ 'src/a.ts': "import './b.js'; import './c.js'", 'src/b.ts': '', 'src/c.ts': '' });
  t.deepEqual(excessImports(graph, { 'src/a.ts': ['src/b.ts'] }), ['src/a.ts:1 imports src/c.ts']);
});

test('a package that is imported outside the room that owns it is found', (t) => {
  const text =
    "import pg from 'pg'; import { parse } from 'pg/lib/parse.js'; import 'pg-types'; import 'uuid'";
  const graph = planted({ 'interceptors/a/x.ts': text, 'src/x.ts': text, 'test/x.ts': text });
  t.deepEqual(strayPackages(graph, { pg: ['interceptors/a'] }), [
    'src/x.ts:1 imports pg',
    'src/x.ts:1 imports pg/lib/parse.js',
  ]);
});

test('an import of the guard, or a word about it, is found in a service', (t) => {
  const graph = planted({
    'src/order/a.ts': "import 'grpc-replay-guard';\n\n// The Idempotency of it",
    'src/order/b.ts': "import 'node:path'",
    'src/services.ts': "import 'grpc-replay-guard'",
  });
  t.deepEqual(guardTraces(graph, ['src/order']), [
    "src/order/a.ts:1: import 'grpc-replay-guard';",
    'src/order/a.ts:3: // The Idempotency of it',
  ]);
});

test('a folder over the limit is found, and its subfolders do not count', (t) => {
  const graph = planted({ 'src/a/1.ts': '', 'src/a/2.ts': '', 'src/a/3.proto': '', 'src/b/1.ts': '' });
  t.deepEqual(fullFolders(graph, 2), ['src/a has 3 files, at most 2 are allowed']);
  t.deepEqual(fullFolders(graph, 3), []);
});

test('a file that one engine lacks is found unless it is an exception, and an unused exception is found', (t) => {
  const graph = planted({
    ...{ 'db/x/both.ts': '', 'db/y/both.ts': '', 'db/x/lonely.ts': '', 'db/x/excused.ts': '' },
    'db/y/other.ts': '',
  });
  const exceptions = { 'db/x/excused.ts': 'a reason', 'db/x/both.ts': 'no need' };
  t.deepEqual(matrixGaps(graph, { db: ['x', 'y'] }, exceptions), [
    'db/x/lonely.ts: missing in y',
    'db/y/other.ts: missing in x',
    'db/x/both.ts: the exception has no use',
  ]);
});

test('a forbidden word is found in file names and exported names, and allowed phrases are not', (t) => {
  const graph = planted({
    'src/call-turns.ts': 'export class PulseSender {}\nexport const MAX_LANES = 1;\nconst verdict = 2;',
    'src/in-flight-calls.ts':
      'export class InFlightCalls {}\nexport const LOG_LEVEL = 1;\nexport type Returned = 1;',
    'src/place-order.ts': "export { verdict } from 'elsewhere';\nexport async function isPassedOn() {}",
  });
  t.deepEqual(wrongWords(graph), [
    'src/call-turns.ts: "turn", say position',
    'src/call-turns.ts:1: PulseSender: "pulse", say heartbeat',
    'src/call-turns.ts:2: MAX_LANES: "lane", say destination worker',
    'src/place-order.ts:2: isPassedOn: "passed on", say forwarded',
  ]);
});

for (const specifier of [
  '../interceptors/dist/a.js',
  '../node_modules/pg/lib/index.js',
  './b',
  '#library/missing.js',
]) {
  test(`an import of ${specifier}, at which no source file is, is a violation`, (t) => {
    const graph = planted({ 'src/a.ts': `import '${specifier}';`, 'src/b.ts': '' });
    t.deepEqual(unresolvedImports(graph, ['src/gen']), [`src/a.ts:1 imports ${specifier}`]);
  });
}

test('imports of packages, of source files and of generated files are resolved', (t) => {
  const text = "import 'pg';\nimport './b.js';\nimport './gen/c.js';\nimport 'node:fs';";
  t.deepEqual(unresolvedImports(planted({ 'src/a.ts': text, 'src/b.ts': '' }), ['src/gen']), []);
});

for (const text of [
  "await import(['a', 'b'].join('/'));",
  `await import(\`./\${name}.js\`);`,
  'await import(name);',
  "createRequire(import.meta.url)('./b.cjs');",
  "import.meta.resolve('./b.js');",
  "new Worker(new URL('./b.js', import.meta.url));",
]) {
  test(`the module that ${text} loads is a hidden import`, (t) => {
    t.deepEqual(hiddenImports(planted({ 'interceptors/a.ts': `\n${text}` })), ['interceptors/a.ts:2']);
  });
}

test('constant imports and addresses of other files are not hidden imports', (t) => {
  const text =
    "await import('./b.js');\nawait import(`./b.js`);\nnew URL('./c.txt', import.meta.url);\n// import(name)";
  t.deepEqual(hiddenImports(planted({ 'src/a.ts': text })), []);
});
