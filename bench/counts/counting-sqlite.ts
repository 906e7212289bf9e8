// A preload that counts the statements and commits of better-sqlite3. `counting` must load before this module.
import Sqlite, { type Statement } from 'better-sqlite3';

type Run = (this: Statement, ...args: unknown[]) => unknown;

const probe = new Sqlite(':memory:');
const statement = Object.getPrototypeOf(probe.prepare('SELECT 1')) as Record<string, Run>;
probe.close();

for (const method of ['run', 'get', 'all', 'iterate']) {
  const original = statement[method] as Run;
  statement[method] = function (...args) {
    const { database } = this;
    const wasOpen = database.inTransaction;
    const result = original.apply(this, args);
    note(wasOpen, database.inTransaction, this);
    return result;
  };
}

const database = Sqlite.prototype as { exec(sql: string): unknown };
const originalExec = database.exec;
database.exec = function (this: { inTransaction: boolean }, sql: string) {
  const wasOpen = this.inTransaction;
  const result = originalExec.call(this, sql);
  note(wasOpen, this.inTransaction, { source: sql, readonly: false });
  return result;
};

/** A write outside of a transaction commits by itself. */
function note(
  wasOpen: boolean,
  isOpen: boolean,
  { source, readonly }: { readonly source: string; readonly readonly: boolean },
): void {
  const created = globalThis.benchCreated;
  if (!created) return;
  created.statements++;
  const isRollback = /^\s*rollback/i.test(source);
  if (wasOpen ? !isOpen && !isRollback : !isOpen && !readonly) created.commits++;
}
