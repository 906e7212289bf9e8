export type { DrizzleOptions } from './drizzle-options.js';
export {
  createDrizzlePostgres,
  type DrizzlePostgres,
  type DrizzlePostgresResult,
} from './drizzle-postgres.js';
export { createDrizzleSqlite, type DrizzleSqlite, type DrizzleSqliteResult } from './drizzle-sqlite.js';
export type { PgResult } from './pg-result.js';
