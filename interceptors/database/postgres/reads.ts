const reading = /^\s*(select|values|table|with)\b/i;
/**
 * The words of a statement that writes or locks rows, and the start of a comment. A comment may hide what stands before a
 * parenthesis.
 */
const writing = /\b(insert|update|delete|merge|into|for\s+(key\s+)?share)\b|--|\/\*/i;
/**
 * A name before an opening parenthesis, with its schema and its quotes. Any letter may stand in a name. A match starts at
 * the start of a name, so that a long text takes linear time.
 */
const called = /((?:\.\s*)?(?<![^\s()[\],;:=<>+\-*/%^|&!@#~?`'])[^\s()[\],;:=<>+\-*/%^|&!@#~?`']+)\s*\(/g;

const keywords = `
  all and any array as between by case cast distinct else except exists filter from group having in intersect into is
  join lateral like limit materialized not offset on or order over row select some then union using values when where
  with`;
const types = 'bit char character decimal interval numeric time timestamp varchar';
const functions = `
  abs age array_agg array_length avg bool_and bool_or btrim cardinality ceil ceiling char_length clock_timestamp coalesce
  concat concat_ws count date_part date_trunc decode dense_rank encode every extract first_value floor format
  generate_series greatest json_agg json_build_object json_object_agg jsonb_agg jsonb_build_object jsonb_object_agg lag
  last_value lead least left length lower ltrim max md5 min mod now nullif octet_length position power rank replace right
  round row_number row_to_json rtrim sha256 sign split_part sqrt statement_timestamp string_agg strpos substr substring
  sum to_char to_date to_json to_jsonb to_timestamp transaction_timestamp trim trunc unnest upper`;

/** The words that may stand before a parenthesis in a statement that only reads. */
const harmless = new Set(`${keywords} ${types} ${functions}`.trim().split(/\s+/));

const known = new Map<string, boolean>();

/**
 * Returns whether a statement only reads. A statement only reads if it is a query without a word that writes, locks no rows,
 * and calls only functions without effects. A function of another name or of a schema may write, notify or take a lock. A
 * read-only transaction prevents some effects only. What a view or an operator calls is not known.
 */
export function onlyReads(text: string): boolean {
  let result = known.get(text);
  if (result === undefined) {
    result = reading.test(text) && !writing.test(text) && callsAreHarmless(text);
    known.set(text, result);
  }
  return result;
}

function callsAreHarmless(text: string): boolean {
  for (const [, name = ''] of text.matchAll(called)) if (!harmless.has(name.toLowerCase())) return false;
  return true;
}
