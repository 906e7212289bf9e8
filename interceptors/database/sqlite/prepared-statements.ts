import type { Database as Handle, Statement as Prepared } from 'better-sqlite3';
import { LRUCache } from 'lru-cache';
import type { Column } from '../result.js';
import { columnsOf, fixedNames } from './columns.js';

/** A prepared statement. */
export interface PreparedStatement {
  readonly prepared: Prepared;
  /** The position in the parameters of each value that the statement binds. */
  readonly positions: readonly number[];
  /** The number of parameters that the text names. */
  readonly parameters: number;
  /** The first word in capitals. For a query it is SELECT. */
  readonly command: string;
  readonly returnsRows: boolean;
  /** The names of the columns. Undefined for a statement with `*`, whose columns can change. */
  readonly names: readonly string[] | undefined;
  /** The columns, once a result has needed them. Undefined for a statement with `*`, whose columns can change. */
  columns: readonly Column[] | undefined;
  readonly onlyReads: boolean;
}

/** The maximum number of statements that a connection keeps prepared. */
const MAX_STATEMENTS = 500;

/**
 * The statements that one connection has prepared. An application that builds its SQL texts would prepare more and more
 * statements, so the statements that were not used recently are dropped.
 */
export class PreparedStatements {
  readonly #handle: Handle;
  readonly #statements = new LRUCache<string, PreparedStatement>({ max: MAX_STATEMENTS });

  constructor(handle: Handle) {
    this.#handle = handle;
  }

  /** Returns the prepared statement of a text. @throws SqliteError when the text is not valid */
  get(text: string): PreparedStatement {
    return this.#statements.get(text) ?? this.#prepare(text);
  }

  #prepare(text: string): PreparedStatement {
    const { sql, positions } = byPosition(text);
    const prepared = this.#handle.prepare(sql).safeIntegers(true);
    const returnsRows = prepared.reader;
    // To make objects, better-sqlite3 12 reads the names again for each row, which costs more than the values. Version 13
    // generates code, which some processes forbid.
    if (returnsRows) prepared.raw(true);
    const statement = {
      prepared,
      positions,
      parameters: positions.reduce((count, position) => Math.max(count, position + 1), 0),
      command: commandOf(text),
      returnsRows,
      names: returnsRows ? fixedNames(text, prepared) : undefined,
      columns: undefined,
      onlyReads: prepared.readonly && returnsRows,
    };
    this.#statements.set(text, statement);
    return statement;
  }
}

/** Returns the columns of the rows that a statement has just returned. */
export function currentColumns(statement: PreparedStatement): readonly Column[] {
  if (!statement.names) return columnsOf(statement.prepared);
  statement.columns ??= columnsOf(statement.prepared);
  return statement.columns;
}

/** The parts of a SQL text in which `$1` is not a parameter: texts, quoted names, comments. */
const quotedOrParameter =
  /'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]|--[^\n]*|\/\*[\s\S]*?\*\/|\$(\d+)/g;

/** Replaces `$1` by `?`. SQLite would treat `$1` as a named parameter, and a look-up by name is slow. */
function byPosition(text: string): { readonly sql: string; readonly positions: readonly number[] } {
  const positions: number[] = [];
  const sql = text.replace(quotedOrParameter, (part: string, number: string | undefined) => {
    if (number === undefined) return part;
    positions.push(Number(number) - 1);
    return '?';
  });
  return { sql, positions };
}

const firstWord = /^(?:[\s;]|--[^\n]*|\/\*[\s\S]*?\*\/)*(\w*)/;
/** Comments, quoted parts, and parentheses without parentheses inside. */
const hidden =
  /'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]|--[^\n]*|\/\*[\s\S]*?\*\/|\([^()]*\)/g;

/** Returns the command of a statement in capitals. For `WITH` it is the command behind the named queries. */
function commandOf(text: string): string {
  const command = firstWord.exec(text)?.[1]?.toUpperCase() ?? '';
  if (command === 'VALUES') return 'SELECT';
  if (command !== 'WITH') return command;
  let rest = text;
  for (let before = ''; before !== rest; ) [before, rest] = [rest, rest.replace(hidden, ' ')];
  return /\b(insert|replace|update|delete)\b/i.exec(rest)?.[0].toUpperCase() ?? 'SELECT';
}
