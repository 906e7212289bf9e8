import type { Dialect } from './database.js';

const begins = 'transaction() begins a transaction, and commits it when its work resolves';
const rollsBack = 'transaction() rolls back when its work rejects';
const nests = 'a transaction() inside a transaction is a savepoint';
const outlives =
  'the setting would stay on a connection that other calls use; use SET LOCAL inside transaction()';
const separates =
  'a transaction over several files is not atomic; open the other file as a database of its own';
const shares = 'all calls share the connection; set the pragma on the database that is handed to openSqlite';

/** The statements that are always permitted. Most statements are among them, so they are checked first. */
const ordinary = /^\s*(select|insert|update|delete|with)\b/i;

/** The advice on what to use in place of a statement, by its first word. */
const alternatives: ReadonlyMap<string, string> = new Map([
  ...['BEGIN', 'START', 'COMMIT', 'END'].map((word) => [word, begins] as const),
  ...['ROLLBACK', 'ABORT'].map((word) => [word, rollsBack] as const),
  ...['SAVEPOINT', 'RELEASE'].map((word) => [word, nests] as const),
  ...['ATTACH', 'DETACH'].map((word) => [word, separates] as const),
  ['RESET', outlives],
]);

/** The pragmas that have an argument and do not change the connection. */
const harmlessPragmas =
  /^(application_id|foreign_key_check|foreign_key_list|incremental_vacuum|index_(info|list|xinfo)|integrity_check|optimize|quick_check|table_(info|list|xinfo)|user_version)$/i;

/**
 * Refuses a statement that controls transactions, or that changes a connection for the calls that use the connection
 * later. The error does not contain the text, which may contain values.
 * @throws TypeError with the method to use in place of the statement
 */
export function assertNoControl(text: string, dialect: Dialect['name']): void {
  if (ordinary.test(text)) return;
  const tokens = new Tokens(text, dialect);
  const word = firstWord(tokens);
  const instead = alternatives.get(word) ?? insteadOf(word, tokens);
  if (instead) throw new TypeError(`the database handle refuses ${word}: ${instead}`);
}

/**
 * Returns the first word of a statement, or PRAGMA if the statement explains a pragma. SQLite executes some pragmas when it
 * prepares them, although EXPLAIN stands in front.
 */
function firstWord(tokens: Tokens): string {
  const word = tokens.next();
  if (word !== 'EXPLAIN') return word;
  let explained = tokens.next();
  if (explained === 'QUERY' && tokens.next() === 'PLAN') explained = tokens.next();
  return explained === 'PRAGMA' ? explained : word;
}

/** Returns the advice for a statement that is refused because of its second or third word. */
function insteadOf(word: string, tokens: Tokens): string | undefined {
  if (word === 'SET') return insteadOfSet(tokens);
  if (word === 'PREPARE') return tokens.next() === 'TRANSACTION' ? begins : undefined;
  if (word === 'PRAGMA') return insteadOfPragma(tokens);
  return undefined;
}

/**
 * `SET LOCAL` and `SET CONSTRAINTS` end with the transaction. Only the handle sets the isolation level and the access
 * mode of a transaction.
 */
function insteadOfSet(tokens: Tokens): string | undefined {
  const range = tokens.next();
  const name = range === 'LOCAL' ? tokens.next() : range;
  if (name.startsWith('TRANSACTION')) return 'transaction() chooses the isolation level and the access mode';
  return range === 'LOCAL' || range === 'CONSTRAINTS' ? undefined : outlives;
}

function insteadOfPragma(tokens: Tokens): string | undefined {
  let [name, next] = [tokens.next(), tokens.next()];
  if (next === '.') [name, next] = [tokens.next(), tokens.next()];
  return (next === '=' || next === '(') && !harmlessPragmas.test(name) ? shares : undefined;
}

/** The tokens at the start of a statement, without white space, empty statements, comments and quotes. */
class Tokens {
  readonly #text: string;
  readonly #isPostgres: boolean;
  #at = 0;

  constructor(text: string, dialect: Dialect['name']) {
    this.#text = text;
    this.#isPostgres = dialect === 'postgres';
  }

  /** Returns the next word in capitals, the next other character, or an empty text at the end. */
  next(): string {
    this.#skipBlanks();
    const [token, name = token] = this.#match(/["'`[]?(\w+)["'`\]]?|./sy);
    return name.toUpperCase();
  }

  #skipBlanks(): void {
    // A comment also ends with a carriage return on Postgres.
    const blanks = this.#isPostgres ? /(?:[\s;]+|--[^\n\r]*)*/y : /(?:[\s;]+|--[^\n]*)*/y;
    for (;;) {
      this.#match(blanks);
      if (!this.#text.startsWith('/*', this.#at)) return;
      this.#skipComment();
    }
  }

  /**
   * Comments are nested on Postgres. On SQLite, the start of a comment means nothing inside a comment, and a comment without
   * an end lasts until the end of the text.
   */
  #skipComment(): void {
    this.#at += 2;
    const mark = this.#isPostgres ? /.*?(?:\/\*|\*\/|$)/sy : /.*?(?:\*\/|$)/sy;
    for (let depth = 1; depth > 0; ) {
      const [found] = this.#match(mark);
      if (found.endsWith('*/')) depth--;
      else if (found.endsWith('/*')) depth++;
      else return;
    }
  }

  #match(pattern: RegExp): readonly [string, (string | undefined)?] {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#text);
    if (match) this.#at = pattern.lastIndex;
    return match ? [match[0], match[1]] : [''];
  }
}
