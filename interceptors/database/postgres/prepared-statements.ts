import { createHash } from 'node:crypto';
import pg, { type FieldDef } from 'pg';
import type { Row, SqlColumn } from '../database.js';
import type { Tables } from './tables.js';

type Parser = (text: string) => SqlColumn;

/** The columns of the rows of a prepared statement. Postgres refuses to execute the statement if they change. */
export interface Columns {
  /** A row in which every column is null. */
  readonly empty: Row;
  readonly names: readonly string[];
  readonly parsers: readonly Parser[];
}

/** The columns of a statement that returns no rows. */
export const noColumns: Columns = { empty: {}, names: [], parsers: [] };

const { BOOL, BPCHAR, BYTEA, CHAR, FLOAT4, FLOAT8, INT2, INT4, INT8, TEXT, UUID, VARCHAR } =
  pg.types.builtins;
const NAME = 19;

/**
 * The parsers of the types whose values are the same on every engine. The application may have replaced the parsers of pg
 * for all its connections.
 */
const parsers: ReadonlyMap<number, (text: string) => unknown> = new Map<number, (text: string) => unknown>([
  ...[INT2, INT4, INT8].map((type) => [type, BigInt] as const),
  ...[FLOAT4, FLOAT8].map((type) => [type, Number] as const),
  ...[TEXT, VARCHAR, BPCHAR, CHAR, NAME, UUID].map((type) => [type, (text: string) => text] as const),
  [BOOL, (text: string) => text === 't'],
  [BYTEA, bytesOf],
]);

/** Parses binary data in both forms that `bytea_output` can choose. */
function bytesOf(text: string): Buffer {
  if (text.startsWith('\\x')) return Buffer.from(text.slice(2), 'hex');
  const byteOf = (_: string, code: string) =>
    code === '\\' ? code : String.fromCharCode(Number.parseInt(code, 8));
  return Buffer.from(text.replace(/\\(\\|[0-7]{3})/g, byteOf), 'latin1');
}

/** Returns the columns that a RowDescription message describes. Integers are parsed as bigint, as every engine does. */
export function columnsOf(fields: readonly FieldDef[]): Columns {
  return {
    empty: Object.fromEntries(fields.map(({ name }) => [name, null])),
    names: fields.map(({ name }) => name),
    parsers: fields.map(
      ({ dataTypeID: type }) => (parsers.get(type) ?? pg.types.getTypeParser(type, 'text')) as Parser,
    ),
  };
}

/**
 * Parses a DataRow message.
 * @throws Error when the row does not have these columns
 */
export function rowOf({ empty, names, parsers }: Columns, values: readonly (string | null)[]): Row {
  if (values.length !== names.length) throw new Error('the row has other columns than its statement');
  const row = { ...empty };
  for (let index = 0; index < names.length; index++) {
    const value = values[index] as string | null;
    row[names[index] as string] = value === null ? null : (parsers[index] as Parser)(value);
  }
  return row;
}

/** How often a connection of this process has noticed a change of the schema. */
let schemaChanges = 0;

/** A prepared statement on one connection. */
export interface Prepared {
  readonly name: string;
  readonly columns: Columns;
}

/** The number of recently used statements at which the other statements of the connection are closed. */
const MAX_RECENT = 250;

/**
 * The statements that one connection has prepared, with the columns of their rows. An application that builds its SQL
 * texts would prepare more and more statements. Therefore the statements that were not used recently are closed.
 */
export class PreparedStatements {
  #recent = new Map<string, Prepared>();
  #older = new Map<string, Prepared>();
  /** The names of the statements that the next batch closes. */
  #unused: string[] = [];
  #seenSchemaChanges = schemaChanges;
  readonly #tables: Tables;

  /** @param tables the tables of the library, which the prepared statements name with their schemas */
  constructor(tables: Tables) {
    this.#tables = tables;
  }

  /** Returns the text as the server prepares it. */
  textFor(text: string): string {
    return this.#tables.qualify(text);
  }

  /** Returns a prepared statement, or undefined if the text must be prepared. */
  get(text: string): Prepared | undefined {
    if (this.#seenSchemaChanges !== schemaChanges) this.forgetAll();
    const recent = this.#recent.get(text);
    if (recent) return recent;
    const older = this.#older.get(text);
    if (older) this.#use(text, older);
    return older;
  }

  /** Notes that the server has prepared a statement. */
  add(text: string, prepared: Prepared): void {
    this.#use(text, prepared);
  }

  /** Notes that the server may not have prepared a statement under this name. */
  forget(text: string, name: string): void {
    this.#recent.delete(text);
    this.#older.delete(text);
    // The server may have prepared a statement that failed later.
    this.#unused.push(name);
  }

  /** Notes that the server may have dropped every statement of the connection. */
  forgetAll(): void {
    this.#seenSchemaChanges = schemaChanges;
    this.#close(this.#recent);
    this.#close(this.#older);
    this.#recent.clear();
    this.#older.clear();
  }

  /** Returns the names of the statements to close, and forgets them. */
  takeUnused(): readonly string[] {
    const unused = this.#unused;
    if (unused.length > 0) this.#unused = [];
    return unused;
  }

  #use(text: string, prepared: Prepared): void {
    this.#older.delete(text);
    this.#recent.set(text, prepared);
    if (this.#recent.size < MAX_RECENT) return;
    this.#close(this.#older);
    this.#older = this.#recent;
    this.#recent = new Map();
  }

  #close(statements: ReadonlyMap<string, Prepared>): void {
    for (const { name } of statements.values()) this.#unused.push(name);
  }
}

/** Makes every connection of the process prepare its statements again, because their plans may be outdated. */
export function noteSchemaChange(): void {
  schemaChanges++;
}

/**
 * Returns the name of a prepared statement: a digest of its text. Two copies of this library that share a pool use
 * the same name only for the same text.
 */
export function nameOf(text: string): string {
  return `rg_${createHash('sha256').update(text).digest('hex').slice(0, 24)}`;
}
