import { fileURLToPath } from 'node:url';
import { readImportGraph } from './import-graph.js';

/** The root of this checkout. */
export const root = fileURLToPath(new URL('../../../', import.meta.url));

/** Every TypeScript file of this checkout that is not generated. */
export const checkout = readImportGraph(root, ['interceptors', 'src', 'test', 'bench']);

/** The library and the shop. */
export const house = readImportGraph(root, ['interceptors', 'src']);
