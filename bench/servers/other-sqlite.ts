// A preload: takes better-sqlite3 from the folder in BENCH_BETTER_SQLITE3, for a Node that the project's own does not fit.
import * as nodeModule from 'node:module';
import { pathToFileURL } from 'node:url';

interface Resolved {
  readonly url: string;
}

type Resolve = (specifier: string, context: object) => Resolved;

/** Exists since Node 22.15; the types of Node 20 do not know it. */
interface WithHooks {
  registerHooks?(hooks: { resolve(specifier: string, context: object, next: Resolve): Resolved }): void;
}

const folder = process.env.BENCH_BETTER_SQLITE3;
const { registerHooks } = nodeModule as WithHooks;
if (folder && registerHooks) {
  const require = nodeModule.createRequire(import.meta.url);
  const url = pathToFileURL(require.resolve(folder)).href;
  registerHooks({
    resolve: (specifier, context, next) => next(specifier === 'better-sqlite3' ? url : specifier, context),
  });
}
