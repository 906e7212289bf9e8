import { createHash } from 'node:crypto';
import pg, { type ClientBase, type CustomTypesConfig, type QueryResult } from 'pg';
import type { Row } from '../database.js';
import type { Statement } from '../engine.js';

const integers: ReadonlySet<number> = new Set([
  pg.types.builtins.INT2,
  pg.types.builtins.INT4,
  pg.types.builtins.INT8,
]);

/** Integers read back as bigint, as on every engine. */
const types: CustomTypesConfig = {
  getTypeParser: (oid: number, format?: 'text' | 'binary') =>
    integers.has(oid) ? BigInt : pg.types.getTypeParser(oid, format as 'text'),
};

const names = new Map<string, string>();

const control = /^(SAVEPOINT|RELEASE|ROLLBACK)\b/;

/** Whether the text controls the transaction: nothing to prepare, and one message instead of five. */
export function controls({ text }: Statement): boolean {
  return control.test(text);
}

/** Sends a statement, prepared once per connection under a name that its text determines. */
export async function send(client: ClientBase, statement: Statement): Promise<Row[]> {
  const result: QueryResult<Row> = await client.query<Row>({
    name: nameOf(statement.text),
    text: statement.text,
    values: [...statement.params],
    types,
  });
  return result.rows;
}

function nameOf(text: string): string {
  let name = names.get(text);
  if (!name) {
    name = `rg_${createHash('sha256').update(text).digest('hex').slice(0, 24)}`;
    names.set(text, name);
  }
  return name;
}
