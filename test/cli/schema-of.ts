import { administer } from '../helpers/databases/administer.js';

/** Everything in a schema that `pg_dump` would print, as texts without the name of the schema. */
const contents = `
  SELECT 'column ' || relname || '.' || attname || ' ' || format_type(atttypid, atttypmod) || ' ' || attnotnull::text
      || coalesce(' ' || pg_get_expr(adbin, adrelid), '') AS object
    FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
    LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE relnamespace = $1::regnamespace AND relkind = 'r' AND attnum > 0 AND NOT attisdropped
  UNION ALL SELECT 'table ' || relname || ' ' || relkind::text || relpersistence::text || coalesce(reloptions::text, '')
      || ' ' || pg_get_userbyid(relowner)
    FROM pg_class WHERE relnamespace = $1::regnamespace
  UNION ALL SELECT 'index ' || pg_get_indexdef(indexrelid) || indisvalid::text
    FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE relnamespace = $1::regnamespace
  UNION ALL SELECT 'constraint ' || conname || ' ' || conrelid::regclass::text || ' ' || pg_get_constraintdef(oid) || convalidated::text
    FROM pg_constraint WHERE connamespace = $1::regnamespace
  UNION ALL SELECT 'trigger ' || pg_get_triggerdef(pg_trigger.oid)
    FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid WHERE relnamespace = $1::regnamespace`;

/** Resolves to the tables, columns, indexes, constraints and triggers of a schema, and the versions in it, sorted. */
export async function schemaOf(url: string, schema: string): Promise<string[]> {
  const name = `"${schema}"`;
  const objects = await administer(url, contents, [name]);
  const versions = await administer(url, `SELECT * FROM ${name}.replay_guard_schema ORDER BY component`);
  const short = (text: string) => text.replaceAll(`${name}.`, '').replaceAll(`${schema}.`, '');
  return [
    ...objects.map(({ object }) => short(String(object))).sort(),
    ...versions.map((row) => JSON.stringify(row)),
  ];
}
