/** The features of SQL that a statement may need. Each pattern finds one feature in a text on one line. */
const features = {
  CTE: /^WITH\b/,
  'INSERT .. SELECT': /^INSERT INTO \w+(?: AS \w+)? \([^)]*\) SELECT\b/,
  'UPDATE .. FROM': /\bUPDATE \w+(?: AS \w+)? SET .* FROM (?:\(SELECT|next|taken|dead)\b/,
  'ON CONFLICT DO UPDATE': /\bON CONFLICT \([^)]*\) DO UPDATE\b/,
  'ON CONFLICT DO NOTHING': /\bON CONFLICT \([^)]*\) DO NOTHING\b/,
  RETURNING: /\bRETURNING\b/,
  'outer join': /\bLEFT JOIN\b/,
  'row lock': /\bFOR UPDATE(?! OF \w+ SKIP| SKIP)/,
  'SKIP LOCKED': /\bSKIP LOCKED\b/,
  'advisory lock': /\bpg_\w*advisory/,
  'lock timeout': /\block_timeout\b/,
  'isolation level': /\bISOLATION LEVEL\b/,
  'read-only transaction': /\bREAD ONLY\b/,
  savepoint: /\bSAVEPOINT\b/,
  NOTIFY: /\bpg_notify\b/,
  LISTEN: /^LISTEN\b/,
  JSON: /\bjsonb?_/,
  array: /\b(?:ANY|unnest) ?\(/,
  statistics: /\bpg_stat_/,
  'expression index': /^CREATE INDEX .*\(\(/,
  'partial index': /^CREATE INDEX .*\) WHERE\b/,
  'unique index': /^CREATE UNIQUE INDEX\b/,
  'clock in CASE or COALESCE': /\b(?:CASE|COALESCE\()[^()]*\(extract\(epoch from \w+\(\)/,
  'change of the scope': /\bUPDATE \w+ SET (?:.*, )?scope = /,
  'several actions in one ALTER TABLE': /^ALTER TABLE \w+ (?:ADD|DROP) .*, (?:ADD|DROP) /,
  'storage parameter': /\bfillfactor\b/,
} as const;

const clocks =
  /\b(?:statement_timestamp|transaction_timestamp|clock_timestamp|now)\(\)|\bCURRENT_TIMESTAMP\b/g;

/** The parts of a statement in which a clock may stand. The last one before the clock counts. */
const parts = {
  'clock in FROM': 'FROM (SELECT',
  'clock in VALUES': 'VALUES',
  'clock in SELECT': 'SELECT',
  'clock in SET': 'SET',
  'clock in WHERE': 'WHERE',
} as const;

/** The features of the engine that a statement needs. */
export type Need = keyof typeof features | keyof typeof parts | 'clock in DO UPDATE';

/** The rows that a statement addresses, from the most exact form to the least. */
const addresses = {
  'one record without a scope': /\bscope = 0 AND id = \$\d+/,
  'one record by (scope, id)': /\bscope = \$\d+ AND id = \$\d+|\bON CONFLICT \(scope, id\)/,
  'a list of records by (scope, id)': /\(scope, id\) IN\b/,
  'one scope': /\bscope = \$\d+/,
  'one event at one destination': /\bevent_id = \$1 AND destination = \$2/,
  'one event at every destination': /\bevent_id = \$1\b/,
  'one aggregate at its destinations': /^INSERT INTO replay_guard_outbox /,
  'one endpoint of a destination':
    /\bdestination = \$1 AND endpoint\b(?!.*replay_guard_outbox )|\bON CONFLICT \(destination, endpoint\)/,
  'one destination': /\bdestination = \$1/,
  'a list of messages': /\bid = ANY \(CAST\(\$1 AS BYTEA/,
  'one message': /\bON CONFLICT \(id\) DO NOTHING/,
  'one component': /\bcomponent = \$1|\bON CONFLICT \(component\)/,
  'a whole table': /\breplay_guard_(?!outbox'|outbox$)/,
  'no table': /^/,
} as const;

/** The rows that a statement addresses. */
export type Address = keyof typeof addresses;

/** Returns a statement on one line, with single spaces. */
export function onOneLine(text: string): string {
  return text.replaceAll(/\s+/g, ' ').trim();
}

/** Returns the rows that a statement on one line addresses. */
export function addressOf(text: string): Address {
  const [address] = Object.entries(addresses).find(([, pattern]) => pattern.test(text)) ?? [];
  return address as Address;
}

/** Returns what a statement on one line needs of the engine, sorted. */
export function needsOf(text: string): Need[] {
  const found = Object.entries(features).filter(([, pattern]) => pattern.test(text));
  const clockParts = [...text.matchAll(clocks)].map(({ index }) => partOf(text.slice(0, index)));
  return [...new Set([...found.map(([name]) => name as Need), ...clockParts])].sort();
}

/** Returns the part of the statement that `before` ends in, without regard to the subqueries that have ended before. */
function partOf(before: string): Need {
  let open = before;
  for (let rest = ''; rest !== open; ) {
    rest = open;
    open = rest.replaceAll(/\([^()]*\)/g, '');
  }
  if (open.includes(' DO UPDATE ')) return 'clock in DO UPDATE';
  const end = (keyword: string) => open.lastIndexOf(keyword) + (open.includes(keyword) ? keyword.length : 0);
  const [last] = Object.entries(parts).sort(
    ([, one], [, other]) => end(other) - end(one) || other.length - one.length,
  );
  return last?.[0] as Need;
}
