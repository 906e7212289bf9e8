import { house } from '../house/checkout.js';
import type { SourceText } from '../house/source-text.js';
import { onOneLine } from './needs.js';

const keyword =
  /\b(?:SELECT|INSERT|UPDATE|DELETE|WITH|WHERE|FROM|SET|VALUES|RETURNING|CREATE|ALTER|DROP|BEGIN|COMMIT|ROLLBACK|SAVEPOINT|RELEASE|LISTEN|CASE|WHEN|ORDER BY|FOR UPDATE|LIMIT)\b/;

/** The contents of a string, or of a part of a template between two expressions. They are blank in `code`. */
const literal = /(?<=['"`}])[ \n]+(?=['"`]|\$\{)/g;

/** A piece of SQL in the sources of the library. */
export interface SqlText {
  /** The path of the source file. */
  readonly path: string;
  /** The piece on one line. */
  readonly text: string;
}

/** The patterns of the texts of query builders, which the library reads and never sends. */
const patterns = 'interceptors/query-builders/control-text.ts';

/** Returns every piece of SQL in the sources of the library, without the files that only SQLite uses. */
export function sqlTexts(): SqlText[] {
  const files = [...house.files.values()].filter(
    ({ path }) => /^interceptors\/(?!.*sqlite|cli\/)/.test(path) && path !== patterns,
  );
  return files.flatMap((file) =>
    literalsOf(file)
      .filter((text) => keyword.test(text))
      .map((text) => ({ path: file.path, text: onOneLine(text).replace(/^; /, '') })),
  );
}

function literalsOf({ text, code }: SourceText): string[] {
  return [...code.matchAll(literal)].map(({ index, 0: blank }) => text.slice(index, index + blank.length));
}
