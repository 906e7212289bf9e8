export type { Database, Dialect, Row, SqlColumn, SqlValue } from './database.js';
export * from './errors.js';
export type { Column, RawValue, Result } from './result.js';
