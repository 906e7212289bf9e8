import { LRUCache } from 'lru-cache';
import type { Statement } from '../engine.js';

const reading = /^\s*(select|values|table|with)\b/i;
/**
 * The words of a statement that writes or locks rows, and forms that may hide a name: a comment, an escaped name
 * (`U&"n\0061me"`) and a doubled quote. A comment may stand between the name of a function and its parenthesis.
 */
const unsuitable = /\b(insert|update|delete|merge|into|for\s+(key\s+)?share)\b|--|\/\*|\bu&|""/i;
/**
 * A name before an opening parenthesis, with its schema and its quotes. Any letter may stand in a name. A match starts at
 * the start of a name, so that a long text takes linear time.
 */
const called = /((?:\.\s*)?(?<![^\s()[\],;:=<>+\-*/%^|&!@#~?`'])[^\s()[\],;:=<>+\-*/%^|&!@#~?`']+)\s*\(/g;
/** A run of the characters of an unquoted name. */
const word = /[\w$\u0080-\u{10ffff}]+/gu;

const keywords = `
  all and any array as between by case cast distinct else except exists filter from group having in intersect into is
  join lateral like limit materialized not offset on or order over row select some then union using values when where
  with`;
const types = 'bit char character decimal interval numeric time timestamp varchar';
const functions = `
  abs age array_agg array_length avg bool_and bool_or btrim cardinality ceil ceiling char_length clock_timestamp
  coalesce concat concat_ws count current_setting date_part date_trunc decode dense_rank encode every extract
  first_value floor format generate_series greatest json_agg json_build_object json_object_agg jsonb_agg
  jsonb_build_object jsonb_object_agg lag last_value lead least left length lower ltrim max md5 min mod now nullif
  octet_length position power rank replace right round row_number row_to_json rtrim sha256 sign split_part sqrt
  statement_timestamp string_agg strpos substr substring sum to_char to_date to_json to_jsonb to_timestamp
  transaction_timestamp trim trunc unnest upper`;

/** The words that may stand before a parenthesis in a statement that only reads. */
const harmless = new Set(`${keywords} ${types} ${functions}`.trim().split(/\s+/));

/** The objects that an administrator or an application has created have at least this number. */
const FIRST_OWN_OID = 16_384;
const isOwn = (oid: string) => `${oid} >= ${FIRST_OWN_OID}`;
/**
 * A function that is not volatile may call a volatile one, which Postgres does not notice. Functions of the languages
 * `internal` and `c` (12 and 13) do not.
 */
const mayHaveEffects = (code: string) => `(${code}.provolatile = 'v' OR ${code}.prolang NOT IN (12, 13))`;
const runsCode = (condition: string) =>
  `EXISTS (SELECT FROM pg_catalog.pg_proc AS code WHERE ${condition} AND ${mayHaveEffects('code')})`;
const named = (column: string) => `${column} = ANY (CAST($1 AS name[]))`;
const aggregateParts = `transfn finalfn combinefn mtransfn minvtransfn mfinalfn`
  .split(' ')
  .map((part) => `parts.agg${part}`);

/**
 * Fails if a query that uses the names `$1` may run code of the application: a view, a foreign table, a row security
 * policy, a domain, or a function, operator or cast that is volatile or has a body in SQL or in a procedural language. The
 * error is a division by zero, so that the server skips the query behind it. Objects of the system have no effects.
 */
const check = `
  SELECT 1 / CASE WHEN EXISTS (
    SELECT FROM pg_catalog.pg_class AS relation WHERE ${named('relname')} AND ${isOwn('oid')} AND (
      relkind IN ('v', 'f') OR relrowsecurity
      OR (relhassubclass AND EXISTS (SELECT FROM pg_catalog.pg_foreign_table)))
  ) OR EXISTS (
    SELECT FROM pg_catalog.pg_proc AS called WHERE ${named('proname')} AND ${isOwn('oid')} AND (
      ${mayHaveEffects('called')} OR EXISTS (SELECT FROM pg_catalog.pg_aggregate AS parts
        WHERE parts.aggfnoid = called.oid AND ${runsCode(`code.oid IN (${aggregateParts})`)}))
  ) OR EXISTS (
    SELECT FROM pg_catalog.pg_type AS type WHERE ${named('typname')} AND ${isOwn('oid')}
      AND (typtype = 'd' OR (typtype = 'b' AND typcategory <> 'A' AND ${runsCode('code.oid IN (typinput, typoutput)')}))
  ) OR EXISTS (
    SELECT FROM pg_catalog.pg_operator WHERE ${isOwn('oid')} AND ${runsCode('code.oid = oprcode')}
  ) OR EXISTS (
    SELECT FROM pg_catalog.pg_cast WHERE ${isOwn('oid')} AND ${runsCode('code.oid = castfunc')}
  ) THEN 0 ELSE 1 END AS harmless`;

/** The maximum length of a query that runs outside of the transaction, in characters. It bounds the memory of `known`. */
const MAX_LENGTH = 10_000;

/**
 * The results of the check of recent texts: the names in a query that appears to read, or undefined for another
 * statement.
 */
const known = new LRUCache<string, { readonly names: string | undefined }>({ max: 1_000 });

/**
 * Returns whether a text appears to be a read: a query that has no word of a statement that writes, locks no rows, and
 * calls only functions without effects. A function with another name, or with a schema, may write, notify or take a
 * lock.
 */
export function appearsToRead(text: string): boolean {
  return namesOf(text) !== undefined;
}

/**
 * Returns the statement that fails if a query may run code of the application. The statement must run in the
 * transaction of the query, because the application may replace a table by a view at any time.
 */
export function checkOf(text: string): Statement {
  return { text: check, params: [namesOf(text) ?? '{}'] };
}

/** Notes that a query may run code of the application. */
export function noteSuspect(text: string): void {
  known.set(text, { names: undefined });
}

function namesOf(text: string): string | undefined {
  if (text.length > MAX_LENGTH) return undefined;
  let found = known.get(text);
  if (!found) {
    const reads = reading.test(text) && !unsuitable.test(text) && callsAreHarmless(text);
    found = { names: reads ? arrayOf(namesIn(text)) : undefined };
    known.set(text, found);
  }
  return found.names;
}

function callsAreHarmless(text: string): boolean {
  for (const [, name = ''] of text.matchAll(called)) if (!harmless.has(name.toLowerCase())) return false;
  return true;
}

/**
 * Returns all words of a text, and all parts between quotes, because any of them may be a name. An unquoted name is in
 * lower case. In some encodings only its letters of ASCII are.
 */
function namesIn(text: string): Set<string> {
  const names = new Set<string>();
  for (const [found] of text.matchAll(word)) {
    names.add(found.toLowerCase());
    names.add(found.replace(/[A-Z]+/g, (letters) => letters.toLowerCase()));
  }
  if (text.includes('"')) for (const part of text.split('"')) names.add(part);
  return names;
}

/** Returns the text form of an array. Postgres cuts each name to the length of a name. */
function arrayOf(names: Iterable<string>): string {
  const quoted = [...names].map((name) => `"${name.replaceAll(/["\\]/g, '\\$&')}"`);
  return `{${quoted.join()}}`;
}
