import { exportsOf } from './exports.js';
import type { ImportGraph } from './import-graph.js';

/**
 * The exported declarations without a docstring, and the members of exported `…Options` types without one: each as
 * `file:line name` or `file:line name.member`.
 */
export function undocumented(graph: ImportGraph): string[] {
  return [...graph.files.values()].flatMap((file) =>
    exportsOf(file).flatMap(({ name, line, hasDocstring, undocumentedOptions }) => [
      ...(hasDocstring ? [] : [`${file.path}:${line} ${name}`]),
      ...undocumentedOptions.map((option) => `${file.path}:${line} ${name}.${option}`),
    ]),
  );
}
