import test from 'ava';
import { root } from './checkout.js';
import { undocumented } from './docstrings.js';
import { ImportGraph, readImportGraph } from './import-graph.js';

const planted = (text: string) =>
  undocumented(new ImportGraph({ 'a.ts': text }, { entries: new Map(), aliases: new Map() }));

test('every export of the library and every option has a docstring', (t) => {
  t.deepEqual(undocumented(readImportGraph(root, ['interceptors'])), []);
});

for (const declaration of [
  'export function f(): void {}',
  'export async function f(): Promise<void> {}',
  'export function* f() {}',
  'export class f {}',
  'export abstract class f {}',
  'export interface f {}',
  'export type f = string;',
  'export const f = 1;',
  'export enum f {}',
  'function f() {}\nexport { f };',
  'const f = 1;\nexport { f as g, f };',
]) {
  test(`a docstring is required: ${declaration.replace('\n', ' ')}`, (t) => {
    t.true(planted(declaration).some((line) => / (f|g)$/.test(line)));
    t.true(planted(`/** Other. */\nconst other = 1;\n\n// A comment.\n${declaration}`).length > 0);
    t.true(planted(`/* Not a docstring. */\n${declaration}`).length > 0);
    t.deepEqual(planted(`/** A docstring. */\n${declaration}`), []);
    t.deepEqual(
      planted(`/**\n * A docstring * of / two lines.\n */\n// biome-ignore x: y\n${declaration}`),
      [],
    );
  });
}

test('one docstring documents all overloads of a function', (t) => {
  const overloads = 'export function f(a: string): void;\nexport function f(a: unknown): void {}';
  t.deepEqual(planted(`/** Does it. */\n${overloads}`), []);
  t.deepEqual(planted(overloads), ['a.ts:1 f']);
});

test('a docstring is not required for a name from another file or for a name that is not exported', (t) => {
  t.deepEqual(planted("export { a, type B } from './b.js';\nexport * from './c.js';\nconst d = 1;"), []);
});

test('a docstring is required for each option', (t) => {
  const text = `/** Options. */
export interface SomeOptions extends Others {
  /** Documented. */
  readonly documented: string;
  readonly bare?: { readonly inner: string; other: number };
  /** Documented. */
  readonly list: readonly string[];
  // A comment is not a docstring.
  readonly check: (path: string) => boolean;
  method(): void;
  readonly 'quoted-name'?: string;
  readonly [index: string]: unknown;
}

/** Options as a type. */
export type OtherOptions = {
  alone: string;
};

/** Not options. */
export interface Other {
  readonly bare: string;
}`;
  t.deepEqual(planted(text), [
    'a.ts:2 SomeOptions.bare',
    'a.ts:2 SomeOptions.check',
    'a.ts:2 SomeOptions.method',
    "a.ts:2 SomeOptions.'quoted-name'",
    'a.ts:16 OtherOptions.alone',
  ]);
});
