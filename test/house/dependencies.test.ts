import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import test from 'ava';
import { root } from './checkout.js';

type Version = readonly [major: number, minor: number, patch: number];

/** The first version of a package without a known fault that users of this project would meet, and the fault. */
const floors: Readonly<Record<string, { readonly from: Version; readonly fault: string }>> = {
  '@grpc/grpc-js': {
    from: [1, 14, 4],
    fault: 'a malformed request or message ends the process (CVE-2026-48068, CVE-2026-48069)',
  },
  'better-sqlite3': {
    from: [12, 8, 0],
    fault: 'before SQLite 3.51.3, two connections that write and checkpoint at once can damage the file',
  },
  '@grpc/proto-loader': { from: [0, 8, 1], fault: 'its range admits versions of protobufjs with advisories' },
  protobufjs: { from: [7, 6, 3], fault: 'names of a schema shadow properties (GHSA-f38q-mgvj-vph7)' },
};

const manifests = ['package.json', 'interceptors/package.json', ...examples()];

function examples(): string[] {
  const folders = readdirSync(`${root}/examples`).map((name) => `examples/${name}/package.json`);
  return folders.filter((path) => existsSync(`${root}/${path}`));
}

function rangesOf(path: string): [name: string, range: string][] {
  const { dependencies, devDependencies, peerDependencies } = JSON.parse(
    readFileSync(`${root}/${path}`, 'utf8'),
  );
  return [dependencies, devDependencies, peerDependencies].flatMap((ranges = {}) =>
    Object.entries<string>(ranges),
  );
}

/** Parses `1.2.3` or `^1.2.3`. The result of a range is the lowest version that it admits. */
function lowestOf(range: string): Version | undefined {
  const [, ...parts] = /^\^?(\d+)\.(\d+)\.(\d+)$/.exec(range) ?? [];
  return parts.length === 3 ? (parts.map(Number) as unknown as Version) : undefined;
}

function isAtLeast(version: Version, from: Version): boolean {
  const difference = version.map((part, index) => part - (from[index] ?? 0)).find((part) => part !== 0);
  return (difference ?? 0) >= 0;
}

test('no range of a package.json admits a version with a known fault', (t) => {
  let checked = 0;
  for (const path of manifests) {
    for (const [name, range] of rangesOf(path)) {
      const floor = floors[name];
      if (!floor) continue;
      for (const alternative of range.split(' || ')) {
        const lowest = lowestOf(alternative);
        t.true(
          lowest !== undefined && isAtLeast(lowest, floor.from),
          `${path}: ${name} ${range}: ${floor.fault}`,
        );
      }
      checked++;
    }
  }
  t.true(checked >= 12, 'the ranges of the root, the library and the examples are read');
});

test('the installed versions have none of these faults', (t) => {
  const require = createRequire(import.meta.url);
  for (const [name, { from, fault }] of Object.entries(floors)) {
    const lowest = lowestOf(versionOf(require, name));
    t.true(lowest !== undefined && isAtLeast(lowest, from), `${name}: ${fault}`);
  }
});

function versionOf(require: NodeJS.Require, name: string): string {
  const found = require.resolve
    .paths(name)
    ?.map((folder) => `${folder}/${name}/package.json`)
    .find((path) => existsSync(path));
  return found ? JSON.parse(readFileSync(found, 'utf8')).version : 'missing';
}

test('a range is compared by its lowest version', (t) => {
  t.true(isAtLeast([1, 14, 4], [1, 14, 4]));
  t.true(isAtLeast([2, 0, 0], [1, 14, 4]));
  t.true(isAtLeast([1, 15, 0], [1, 14, 4]));
  t.false(isAtLeast([1, 14, 3], [1, 14, 4]));
  t.false(isAtLeast([0, 99, 99], [1, 14, 4]));
  t.deepEqual(lowestOf('^1.14.4'), [1, 14, 4]);
  for (const range of ['>=1.14.4', '*', '1.x', '^1.14', '^1.14.4 || ^2.0.0'])
    t.is(lowestOf(range), undefined);
});
