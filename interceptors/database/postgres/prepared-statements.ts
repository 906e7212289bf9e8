import { createHash } from 'node:crypto';
import type { Columns } from './columns.js';
import type { Tables } from './tables.js';

/** How often a connection of this process has noticed a change of the schema. */
let schemaChanges = 0;

/** A prepared statement on one connection. */
export interface Prepared {
  readonly name: string;
  readonly columns: Columns;
}

/** The name of a statement that the server keeps until the next statement without a name. */
const UNNAMED = '';

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

  /** Whether the server keeps statements that have a name. */
  readonly #keeps: boolean;

  /**
   * @param tables the tables of the library, which the prepared statements name with their schemas
   * @param keeps whether the server keeps the statements of the connection; if not, each batch prepares its statements
   */
  constructor(tables: Tables, keeps: boolean) {
    this.#tables = tables;
    this.#keeps = keeps;
  }

  /** Returns the text as the server prepares it. */
  textFor(text: string): string {
    return this.#tables.qualify(text);
  }

  /** Returns the name under which a batch prepares a text. The server keeps the statement without a name for one use. */
  nameFor(text: string): string {
    return this.#keeps ? nameOf(text) : UNNAMED;
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
    if (prepared.name !== UNNAMED) this.#use(text, prepared);
  }

  /** Notes that the server may not have prepared a statement under this name. */
  forget(text: string, name: string): void {
    if (name === UNNAMED) return;
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
function nameOf(text: string): string {
  return `rg_${createHash('sha256').update(text).digest('hex').slice(0, 24)}`;
}
