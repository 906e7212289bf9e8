import { assertPart } from './part.js';

const expected = 'the handle that openSqlite or openPostgres returns as `database`';

/**
 * Refuses a value that is not a database handle, for example a pool or the result of `openSqlite`.
 * @throws TypeError that names the factory
 */
export function assertHandle(factory: string, database: unknown): void {
  assertPart(`${factory}: database`, database, { methods: ['query', 'execute', 'transaction'], expected });
}

/**
 * Refuses a value that cannot apply migration steps.
 * @throws TypeError that names the function
 */
export function assertMigrates(name: string, database: unknown): void {
  assertPart(`${name}: database`, database, { methods: ['migrate'], expected });
}
