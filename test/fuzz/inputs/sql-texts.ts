import fc from 'fast-check';
import { mutateText, mutations } from './mutations.js';

/** White space, comments and empty statements, as databases and `\s` define them, also without their ends. */
const blanks = [
  ...[' ', '\t', '\n', '\r', '\f', '\v', '\u00a0', '\ufeff', '\u2028', '\0', ';', '; ;'],
  ...[
    '--x\n',
    '--x\r',
    '-- COMMIT\r\n',
    '--',
    '/**/',
    '/* x */',
    '/* /* */',
    '/* /* */ */',
    '/*/**/*/',
    '/*',
    '*/',
  ],
];
const control = [
  ...[
    'BEGIN',
    'BEGIN IMMEDIATE',
    'START TRANSACTION',
    'COMMIT',
    'COMMIT AND CHAIN',
    'END',
    'END TRANSACTION',
  ],
  ...[
    'ROLLBACK',
    'ROLLBACK TO probe',
    'ABORT',
    'SAVEPOINT probe',
    'RELEASE probe',
    'RELEASE SAVEPOINT probe',
  ],
  ...["PREPARE TRANSACTION 'x'", 'SET TRANSACTION READ ONLY', 'SET search_path = x', 'RESET ALL'],
  ...['SET LOCAL transaction_read_only = on', 'SET SESSION AUTHORIZATION DEFAULT', 'SET ROLE NONE'],
  ...['SET TIME ZONE 5', "SET NAMES 'SQL_ASCII'", "SET SCHEMA 'x'", 'SET LOCAL search_path = x'],
  ...[
    'PRAGMA query_only = 1',
    'PRAGMA main.foreign_keys(0)',
    'PRAGMA synchronous=OFF',
    "ATTACH ':memory:' AS x",
  ],
  ...['PRAGMA cache_size', 'PRAGMA foreign_key_check', 'PRAGMA table_info(notes)', 'DETACH x'],
];
const ordinary = [
  ...['SELECT 1', "SELECT 'COMMIT'", 'SELECT "id" FROM notes', 'VALUES (1)', 'INSERT INTO notes VALUES (1)'],
  ...['WITH x AS (SELECT 1) SELECT * FROM x', 'UPDATE notes SET id = 2', 'DELETE FROM notes', '(SELECT 1)'],
  ...['EXPLAIN SELECT 1', 'DO $$ BEGIN NULL; END $$', 'TABLE notes', 'ANALYZE', 'REINDEX'],
];
const prefixes = [
  ...Array.from({ length: 24 }, () => ''),
  ...['EXPLAIN ', 'EXPLAIN ANALYZE ', 'EXPLAIN QUERY PLAN ', 'PREPARE p AS ', 'WITH ', 'SELECT ', 'DO ', '('],
];
const quotes = [
  ...[['"', '"'] as const, ['[', ']'] as const, ['`', '`'] as const, ["'", "'"] as const],
  ...[['$$', '$$'] as const, ['$a$', '$a$'] as const, ['U&"', '"'] as const, ["E'", "'"] as const],
];

const rarely = <T, N>(arbitrary: fc.Arbitrary<T>, otherwise: N) =>
  fc.oneof({ weight: 4, arbitrary: fc.constant(otherwise) }, { weight: 1, arbitrary });
const blank = fc.oneof(
  { weight: 2, arbitrary: fc.constant('') },
  {
    weight: 1,
    arbitrary: fc.array(fc.constantFrom(...blanks), { maxLength: 3 }).map((parts) => parts.join('')),
  },
);
const anyCase = (text: string) =>
  fc.constantFrom(
    text,
    text.toLowerCase(),
    text.replace(/[AO]/g, (letter) => letter.toLowerCase()),
  );
const statement = fc.constantFrom(...control, ...control, ...ordinary).chain(anyCase);
/** A statement whose first word is quoted, or whose words are separated by comments. */
const disguised = fc
  .tuple(statement, rarely(fc.constantFrom(...quotes), undefined), blank)
  .map(([text, quote, between]) => {
    const [first = '', ...rest] = text.split(' ');
    const word = quote ? `${quote[0]}${first}${quote[1]}` : first;
    return [word, ...rest].join(between === '' ? ' ' : between);
  });
const composed = fc
  .tuple(blank, fc.constantFrom(...prefixes), disguised, blank, rarely(statement, ''))
  .map((parts) => parts.join(''));

/** SQL texts that hide the control of transactions, and texts that only look like it. */
export const sqlTexts: fc.Arbitrary<string> = fc.oneof(
  { weight: 5, arbitrary: composed },
  { weight: 1, arbitrary: fc.tuple(composed, mutations).map(([text, changes]) => mutateText(text, changes)) },
);
