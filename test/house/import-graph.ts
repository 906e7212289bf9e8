import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { type Arrows, grouped } from './directed-graph.js';
import { type Import, importsOf } from './imports.js';
import { readSource, type SourceText } from './source-text.js';

/** One source file: its path from the root, with `/`, and its imports. */
export interface SourceFile extends SourceText {
  readonly path: string;
  readonly imports: readonly ResolvedImport[];
}

export interface ResolvedImport extends Import {
  /** The file in the graph that the specifier names, or undefined for packages, Node modules and generated files. */
  readonly target: string | undefined;
  /** The path that a relative specifier or an alias names, whether or not the file is in the graph. */
  readonly path: string | undefined;
}

/** How specifiers that are not relative name source files. */
export interface Packages {
  /** The source file of each package entry of the library, such as `grpc-replay-guard/outbox`. */
  readonly entries: ReadonlyMap<string, string>;
  /** The folder of each alias, such as `#src/`. */
  readonly aliases: ReadonlyMap<string, string>;
}

/** The text of each file by its path from the root. */
export type Files = Readonly<Record<string, string>>;

const LIBRARY = 'interceptors';
const GENERATED = new Set(['dist', 'node_modules', 'gen']);

/** The files of some folders, and an arrow for each import. Imports of types count too. */
export class ImportGraph {
  readonly files: ReadonlyMap<string, SourceFile>;
  readonly packages: Packages;
  /** Every file of the folders by its folder: also files that are not TypeScript. */
  readonly folders: ReadonlyMap<string, readonly string[]>;

  /**
   * @param files the text of every TypeScript file; other files may be among them with any text
   */
  constructor(files: Files, packages: Packages) {
    const folders = new Map<string, string[]>();
    for (const path of Object.keys(files).sort()) {
      const folder = posix.dirname(path);
      folders.set(folder, [...(folders.get(folder) ?? []), path]);
    }
    const sources = Object.entries(files).filter(([path]) => path.endsWith('.ts'));
    const resolve = (from: string, specifier: string) => {
      const path = resolveSpecifier(from, specifier, packages);
      return { path, target: path !== undefined && Object.hasOwn(files, path) ? path : undefined };
    };
    this.packages = packages;
    this.folders = folders;
    this.files = new Map(
      sources.map(([path, text]) => {
        const source = readSource(text);
        const imports = importsOf(source).map((one) => ({ ...one, ...resolve(path, one.specifier) }));
        return [path, { ...source, path, imports }];
      }),
    );
  }

  /** The arrows between files. */
  get arrows(): Arrows {
    return new Map(
      [...this.files].map(([path, { imports }]) => [
        path,
        new Set(imports.flatMap(({ target }) => target ?? [])),
      ]),
    );
  }

  /** The arrows between folders. */
  get folderArrows(): Arrows {
    return grouped(this.arrows, posix.dirname);
  }
}

/**
 * Reads the TypeScript files of a checkout. Generated folders, `dist` and `node_modules` are omitted.
 * @param root the folder of the checkout
 * @param folders the top folders to read
 */
export function readImportGraph(root: string, folders: readonly string[]): ImportGraph {
  const files = Object.fromEntries(
    folders.flatMap((folder) => pathsUnder(root, folder)).map((path) => [path, contentOf(root, path)]),
  );
  return new ImportGraph(files, readPackages(root));
}

/** Reads the package.json of a checkout and of its library. Entries that are not modules are omitted. */
function readPackages(root: string): Packages {
  const library = manifestOf(root, LIBRARY);
  const entries = Object.entries(library.exports ?? {}).flatMap(([entry, target]) => {
    if (typeof target === 'string') return [];
    return [[posix.join(library.name ?? '', entry), sourceOf(posix.join(LIBRARY, target.import))] as const];
  });
  const aliases = Object.entries(manifestOf(root, '.').imports ?? {}).map(
    ([alias, target]) =>
      [alias.replace('*', ''), sourceOf(posix.normalize(target)).replace('*', '')] as const,
  );
  return { entries: new Map(entries), aliases: new Map(aliases) };
}

interface Manifest {
  readonly name?: string;
  readonly exports?: Readonly<Record<string, string | { readonly import: string }>>;
  readonly imports?: Readonly<Record<string, string>>;
}

function manifestOf(root: string, folder: string): Manifest {
  return JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8'));
}

/** Returns the source of a compiled file: `dist/` comes from `src/`, `interceptors/dist/` from `interceptors/`. */
function sourceOf(compiled: string): string {
  return compiled
    .replace(`${LIBRARY}/dist/`, `${LIBRARY}/`)
    .replace(/^dist\//, 'src/')
    .replace(/\.js$/, '.ts');
}

/** The file that a specifier names, as a path from the root; undefined for packages and Node modules. */
function resolveSpecifier(
  from: string,
  specifier: string,
  { entries, aliases }: Packages,
): string | undefined {
  const path = specifier.replace(/\.js$/, '.ts');
  if (path.startsWith('.')) return posix.join(posix.dirname(from), path);
  for (const [alias, folder] of aliases) if (path.startsWith(alias)) return path.replace(alias, folder);
  return entries.get(specifier);
}

function pathsUnder(root: string, folder: string): string[] {
  if (!existsSync(join(root, folder))) return [];
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = posix.join(folder, entry.name);
    if (entry.isFile()) return [path];
    return entry.isDirectory() && !GENERATED.has(entry.name) ? pathsUnder(root, path) : [];
  });
}

function contentOf(root: string, path: string): string {
  return path.endsWith('.ts') ? readFileSync(join(root, path), 'utf8') : '';
}
