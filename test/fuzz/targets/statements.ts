import Sqlite from 'better-sqlite3';
import { assertNoControl } from '#library/database/refused-statements.js';
import { sqlTexts } from '../inputs/sql-texts.js';
import { must, type Target } from '../target.js';

/** SQL texts of handlers on SQLite. SQLite itself decides what a text controls. */
export const statementsTarget: Target<string> = {
  title: 'SQL texts of handlers on SQLite',
  inputs: sqlTexts,
  quickRuns: 1_500,
  requires: ['refused', 'executed', 'not SQL'],
  planted: 'comments in front of a statement are not skipped',
  open(t, { planted, count }) {
    const open = () => new Sqlite(':memory:').exec('CREATE TABLE notes (id BIGINT)');
    // SQLite executes some pragmas when it prepares them, so refused texts have a connection of their own.
    const refusing = open();
    let connection = open();
    t.teardown(() => {
      for (const each of [refusing, connection]) each.close();
    });
    const isAllowed = planted ? allowsAfterTrim : allows;
    const before = settingsOf(connection);
    return {
      check(text) {
        if (!isAllowed(text)) {
          must(!readsOnly(refusing, text), 'a statement that only reads is refused');
          count('refused');
          return;
        }
        connection.exec('BEGIN; SAVEPOINT probe');
        count(execute(connection, text) ? 'executed' : 'not SQL');
        const isOpen = connection.inTransaction && rollsBackTo(connection);
        if (connection.inTransaction) connection.exec('ROLLBACK');
        const after = settingsOf(connection);
        if (!isOpen || after !== before) connection = open();
        must(isOpen, 'an allowed statement changed the transaction');
        must(after === before, `an allowed statement changed the connection: ${after}`);
      },
    };
  },
};

/** Whether the handle executes a text. A refusal is a TypeError that names the word and no value. */
export function allows(text: string, dialect: 'sqlite' | 'postgres' = 'sqlite'): boolean {
  try {
    assertNoControl(text, dialect);
    return true;
  } catch (error) {
    const { message } = error as Error;
    must(error instanceof TypeError && /^the database handle refuses \w+: /.test(message), message);
    return false;
  }
}

/** The planted bug. */
export const allowsAfterTrim = (text: string): boolean =>
  !/^[\s;]*["'`[]?(begin|start|commit|end|rollback|abort|savepoint|release|attach|detach|pragma|set|reset|prepare)\b/i.test(
    text,
  );

function readsOnly(connection: Sqlite.Database, text: string): boolean {
  try {
    const statement = connection.prepare(text);
    return statement.reader && statement.readonly && !/pragma/i.test(text);
  } catch {
    return false;
  }
}

/** Returns false if SQLite refuses the text. */
function execute(connection: Sqlite.Database, text: string): boolean {
  try {
    const statement = connection.prepare(text);
    if (statement.reader) statement.all();
    else statement.run();
    return true;
  } catch {
    return false;
  }
}

function rollsBackTo(connection: Sqlite.Database): boolean {
  try {
    connection.exec('ROLLBACK TO probe; RELEASE probe');
    return true;
  } catch {
    return false;
  }
}

const PRAGMAS = ['query_only', 'foreign_keys', 'synchronous', 'database_list', 'cache_size', 'locking_mode'];

const settingsOf = (connection: Sqlite.Database) =>
  JSON.stringify(PRAGMAS.map((name) => connection.pragma(name)));
