import { posix } from 'node:path';
import { cyclesOf, grouped } from './directed-graph.js';
import { exportsOf } from './exports.js';
import type { ImportGraph, ResolvedImport, SourceFile } from './import-graph.js';
import { hiddenImportsOf } from './imports.js';
import { closedRooms, type Layer } from './rooms.js';
import { forbiddenIn, forbiddenWords } from './words.js';

/** Each rule returns one line for each violation, with the files that break the rule. */
type Violations = string[];

/** Whether a file is a path or is in the folder of that path. */
export const isIn = (file: string, path: string) => file === path || file.startsWith(`${path}/`);

/** Files that import each other, directly or through other files. */
export function fileCycles(graph: ImportGraph): Violations {
  return cyclesOf(graph.arrows).map((files) => `cycle: ${files.join(', ')}`);
}

/** Rooms that import each other, directly or through other rooms. A file without a room belongs to its folder. */
export function roomCycles(graph: ImportGraph, layers: readonly Layer[]): Violations {
  const find = roomFinder(layers);
  const roomOf = (file: string) => find(file)?.path ?? posix.dirname(file);
  return cyclesOf(grouped(graph.arrows, roomOf)).map((rooms) => {
    const between = importsWith(graph, ({ path }, { target }) => {
      if (target === undefined || roomOf(path) === roomOf(target)) return false;
      return rooms.includes(roomOf(path)) && rooms.includes(roomOf(target));
    });
    return `cycle: ${rooms.join(', ')} (${between.join('; ')})`;
  });
}

/** Imports of a room of the same layer or of a higher layer. */
export function upwardImports(graph: ImportGraph, layers: readonly Layer[]): Violations {
  const roomOf = roomFinder(layers);
  const layerOf = (file: string) => layers.findIndex((layer) => layer.some((room) => room === roomOf(file)));
  return importsWith(graph, (file, { target = '' }) => {
    const [from, to] = [layerOf(file.path), layerOf(target)];
    return from >= 0 && to >= from && roomOf(file.path) !== roomOf(target);
  });
}

/** Files without a room, and rooms without a file. */
export function misplacedFiles(graph: ImportGraph, layers: readonly Layer[], folder: string): Violations {
  const roomOf = roomFinder(layers);
  const files = [...graph.files.keys()].filter((file) => isIn(file, folder));
  const used = new Set(files.map(roomOf));
  return [
    ...files.filter((file) => !roomOf(file)).map((file) => `${file} is in no room`),
    ...layers.flat().flatMap((room) => (used.has(room) ? [] : [`the room ${room.path} has no file`])),
  ];
}

/** Imports into a closed room past its package entries, and imports of the library by a path in the shop. */
export function deepImports(graph: ImportGraph, rooms = closedRooms): Violations {
  const entries = new Set(graph.packages.entries.values());
  return importsWith(graph, (file, { target = '', specifier }) => {
    if (isIn(file.path, 'src') && isIn(target, 'interceptors')) return !graph.packages.entries.has(specifier);
    if (!isIn(file.path, 'interceptors')) return false;
    return rooms.some((room) => isIn(target, room) && !isIn(file.path, room)) && !entries.has(target);
  });
}

/** Relative imports of the library or of the shop from outside, where an alias or a package entry is needed. */
export function relativeEscapes(graph: ImportGraph): Violations {
  return importsWith(graph, ({ path }, { specifier, target = '' }) => {
    const tree = ['interceptors', 'src'].find((folder) => isIn(target, folder));
    return specifier.startsWith('.') && tree !== undefined && !isIn(path, tree);
  });
}

/** Imports of a path at which no source file is: a compiled file, or a file of `node_modules`. */
export function unresolvedImports(graph: ImportGraph, generated: readonly string[]): Violations {
  return importsWith(graph, (_file, { path, target }) => {
    if (path === undefined || target !== undefined) return false;
    return !generated.some((folder) => isIn(path, folder));
  });
}

/** Loads of modules in the library and in the shop that the import graph cannot follow. */
export function hiddenImports(graph: ImportGraph): Violations {
  const files = [...graph.files.values()].filter(
    ({ path }) => isIn(path, 'interceptors') || isIn(path, 'src'),
  );
  return files.flatMap((file) => hiddenImportsOf(file).map((line) => `${file.path}:${line}`));
}

/** Imports of some files beyond the files that they may import. */
export function excessImports(
  graph: ImportGraph,
  limited: Readonly<Record<string, readonly string[]>>,
): Violations {
  return importsWith(graph, (file, { target }) => {
    const allowed = limited[file.path];
    return allowed !== undefined && target !== undefined && !allowed.includes(target);
  });
}

/** Imports of a package by the library or the shop outside the rooms and files that own the package. */
export function strayPackages(
  graph: ImportGraph,
  owners: Readonly<Record<string, readonly string[]>>,
): Violations {
  return importsWith(graph, (file, { specifier }) => {
    const [, name = ''] = /^((?:@[^/]+\/)?[^/]+)/.exec(specifier) ?? [];
    const allowed = Object.hasOwn(owners, name) ? owners[name] : undefined;
    if (!allowed || !(isIn(file.path, 'interceptors') || isIn(file.path, 'src'))) return false;
    return !allowed.some((path) => isIn(file.path, path));
  });
}

/** Traces of the guard in rooms that contain no deduplication code: imports of the library, and its words. */
export function guardTraces(graph: ImportGraph, rooms: readonly string[]): Violations {
  const files = [...graph.files.values()].filter(({ path }) => rooms.some((room) => isIn(path, room)));
  return files.flatMap(({ path, text }) => {
    const lines = text
      .split('\n')
      .map((line, index) => [`${path}:${index + 1}: ${line.trim()}`, line] as const);
    return lines.filter(([, line]) => /idempot|replay/i.test(line)).map(([where]) => where);
  });
}

/** Folders with more files than allowed. */
export function fullFolders(graph: ImportGraph, max: number): Violations {
  const full = [...graph.folders].filter(([, files]) => files.length > max);
  return full.map(([folder, files]) => `${folder} has ${files.length} files, at most ${max} are allowed`);
}

/** Files that an engine has and another engine of the same matrix does not have, and exceptions without use. */
export function matrixGaps(
  graph: ImportGraph,
  matrices: Readonly<Record<string, readonly string[]>>,
  exceptions: Readonly<Record<string, string>>,
): Violations {
  const unused = new Set(Object.keys(exceptions));
  const gaps = Object.entries(matrices).flatMap(([folder, engines]) => {
    const namesOf = (engine: string) => (graph.folders.get(`${folder}/${engine}`) ?? []).map(baseName);
    const names = [...new Set(engines.flatMap(namesOf))].sort();
    return names.flatMap((name) => {
      const without = engines.filter((engine) => !namesOf(engine).includes(name));
      const having = engines.filter((engine) => !without.includes(engine));
      const files = having.map((engine) => `${folder}/${engine}/${name}`);
      const excused = files.filter((file) => Object.hasOwn(exceptions, file));
      if (without.length === 0) return [];
      for (const file of excused) unused.delete(file);
      return excused.length === files.length ? [] : [`${files.join(', ')}: missing in ${without.join(', ')}`];
    });
  });
  return [...gaps, ...[...unused].map((file) => `${file}: the exception has no use`)];
}

/** File names and exported names with a word that the vocabulary does not have. */
export function wrongWords(graph: ImportGraph): Violations {
  return [...graph.files.values()].flatMap((file) => {
    const names = exportsOf(file).filter(({ kind }) => kind === 'declared');
    return [
      ...forbiddenIn(baseName(file.path)).map((word) => `${file.path}: ${advice(word)}`),
      ...names.flatMap(({ name, line }) =>
        forbiddenIn(name).map((word) => `${file.path}:${line}: ${name}: ${advice(word)}`),
      ),
    ];
  });
}

const advice = (word: string) => `"${word}", say ${forbiddenWords[word]}`;
const baseName = (path: string) => posix.basename(path);

/** Finds the room with the longest path that contains a file. */
function roomFinder(layers: readonly Layer[]) {
  const rooms = layers.flat().sort((a, b) => b.path.length - a.path.length);
  return (file: string) => rooms.find(({ path }) => isIn(file, path));
}

/** The imports that a condition selects, each as one line. */
function importsWith(
  graph: ImportGraph,
  condition: (file: SourceFile, found: ResolvedImport) => boolean,
): string[] {
  return [...graph.files.values()].flatMap((file) =>
    file.imports
      .filter((found) => condition(file, found))
      .map(({ line, specifier, target }) => `${file.path}:${line} imports ${target ?? specifier}`),
  );
}
