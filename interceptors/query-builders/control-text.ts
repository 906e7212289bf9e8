/** A statement that controls transactions, as a builder connection runs it. `set` is SET TRANSACTION. */
export type Control =
  | { readonly kind: 'begin' | 'set' | 'commit' | 'rollback' }
  | { readonly kind: 'savepoint' | 'release' | 'rollbackTo'; readonly name: string };

const blank = String.raw`(?:\s|--[^\n]*(?:\n|$)|/\*[^]*?\*/)`;
const work = `(?:${blank}+(?:WORK|TRANSACTION))?`;
const name = String.raw`("(?:[^"]|"")+"|[\w$]+)`;
const whole = (pattern: string) =>
  new RegExp(`^${blank}*${pattern.replaceAll(' ', `${blank}+`)}${blank}*;?${blank}*$`, 'i');

/** The first words of statements that control transactions. Most statements have another first word. */
const mayControl = new RegExp(
  `^${blank}*(?:BEGIN|START|SET|COMMIT|END|ROLLBACK|ABORT|SAVEPOINT|RELEASE)\\b`,
  'i',
);
const modes = String.raw`((?:${blank}+\w+|,)*)`;
const begin = whole(`(?:BEGIN${work}|START TRANSACTION)${modes}`);
const set = whole(`SET TRANSACTION${modes}`);
const commit = whole(`(?:COMMIT|END)${work}`);
const rollback = whole(`(?:ROLLBACK|ABORT)${work}`);
const savepoint = whole(`SAVEPOINT ${name}`);
const release = whole(`RELEASE(?: SAVEPOINT)? ${name}`);
const rollbackTo = whole(`ROLLBACK${work} TO(?: SAVEPOINT)? ${name}`);

/**
 * Reads a statement that begins, ends or nests a transaction. Returns undefined for every other statement. The handle
 * refuses the forms that this function does not know.
 * @throws TypeError when the text begins a transaction with settings that the transactions of the handle do not have
 */
export function controlOf(text: string): Control | undefined {
  if (!mayControl.test(text)) return undefined;
  for (const [kind, pattern] of [
    ['begin', begin],
    ['set', set],
  ] as const) {
    const [, found] = pattern.exec(text) ?? [];
    if (found === undefined) continue;
    assertModes(found);
    return { kind };
  }
  if (commit.test(text)) return { kind: 'commit' };
  if (rollback.test(text)) return { kind: 'rollback' };
  for (const [kind, pattern] of [
    ['savepoint', savepoint],
    ['release', release],
    ['rollbackTo', rollbackTo],
  ] as const) {
    const [, found] = pattern.exec(text) ?? [];
    if (found) return { kind, name: found.startsWith('"') ? found : found.toLowerCase() };
  }
  return undefined;
}

/** The modes that every transaction of the handle has, and the transaction kinds of SQLite. */
const knownMode =
  /^(?:ISOLATION LEVEL READ COMMITTED|READ WRITE|NOT DEFERRABLE|DEFERRED|IMMEDIATE|EXCLUSIVE)(?: |$)/;

/**
 * Checks the modes of a transaction, for example `isolation level read committed`.
 * @throws TypeError when the transactions of the handle do not have such a mode
 */
export function assertModes(modes: string): void {
  const words = modes
    .replaceAll(new RegExp(`${blank}+|,`, 'g'), ' ')
    .trim()
    .toUpperCase();
  for (let rest = words; rest !== ''; ) {
    const [known] = knownMode.exec(rest) ?? [];
    if (known === undefined) {
      const text = 'transactions of the guard are READ COMMITTED and READ WRITE';
      throw new TypeError(`a transaction cannot begin with ${words}: ${text}`);
    }
    rest = rest.slice(known.length).trimStart();
  }
}
