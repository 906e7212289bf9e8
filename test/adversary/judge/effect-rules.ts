import { isOk, isResult, saysNothingDone } from './answers.js';
import { type Effect, type LoadOperation, nameOf, type RoundHistory } from './history.js';
import type { Invariant, Rule } from './rule.js';

/** The rules on effects and on the stock. */
export const effectRules: readonly (readonly [Invariant, Rule])[] = [
  [1, oneEffect],
  [4, noEffectWithoutExecution],
  [6, stockConserved],
  [6, eventsMatchEffects],
];

/** Groups a list by a text. */
export function groupedBy<T>(all: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of all) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group) group.push(item);
    else groups.set(key, [item]);
  }
  return groups;
}

/** Returns the text by which an effect or an execution belongs to an operation. */
export const ownerOf = (of: Pick<LoadOperation, 'scope' | 'account'> & { readonly method: string }) =>
  `${of.scope} ${of.method} ${of.account}`;

/** An operation has at most one effect. After an OK reply it has exactly one, of the execution that the reply names. */
function oneEffect({ operations, attempts, tables }: RoundHistory): string[] {
  const effects = groupedBy(tables.effects, ownerOf);
  const results = groupedBy(attempts.filter(isResult), ({ operation }) => nameOf(operation));
  return operations.flatMap((operation) => {
    const found = effects.get(ownerOf(operation)) ?? [];
    const answers = (results.get(nameOf(operation)) ?? []).filter(({ isOtherRequest }) => !isOtherRequest);
    const name = nameOf(operation);
    if (found.length > 1) return [`${name}: ${found.length} effects`];
    const ok = answers.filter(isOk);
    if (ok.length > 0 && found.length === 0) return [`${name}: OK, but no effect`];
    if (ok.length < answers.length && found.length > 0) return [`${name}: a stored failure, but an effect`];
    const other = ok.find(({ execution }) => execution !== '' && execution !== found[0]?.execution);
    return other ? [`${name}: the reply is of execution ${other.execution}, the effect of another`] : [];
  });
}

/** A call that was told that nothing was done left no effect, and every effect is of a call that was sent. */
function noEffectWithoutExecution({ attempts, tables }: RoundHistory): string[] {
  const byId = new Map(attempts.map((attempt) => [attempt.id, attempt]));
  return tables.effects.flatMap((effect: Effect) => {
    const attempt = byId.get(effect.attempt);
    if (!attempt) return [`${ownerOf(effect)}: an effect of an unknown call`];
    if (attempt.isOtherRequest) return [`${nameOf(attempt.operation)}: an effect of another request`];
    if (!saysNothingDone(attempt)) return [];
    return [`${nameOf(attempt.operation)}: told ${attempt.reason || attempt.details}, but an effect`];
  });
}

/** No stock is negative, the sum of the stock is conserved, and each effect reserved one item. */
function stockConserved({ tables, stockPerItem }: RoundHistory): string[] {
  const reserved = groupedBy(tables.effects, ({ item }) => item);
  return tables.stock.flatMap(({ item, onHand, reserved: held }) => {
    const effects = reserved.get(item)?.length ?? 0;
    if (onHand < 0 || held < 0) return [`${item}: negative stock, ${onHand} and ${held}`];
    if (onHand + held !== stockPerItem) return [`${item}: ${onHand} + ${held} is not ${stockPerItem}`];
    return held === effects ? [] : [`${item}: ${held} reserved by ${effects} effects`];
  });
}

/** Each effect has one event in the outbox, and each event has an effect. */
function eventsMatchEffects({ tables }: RoundHistory): string[] {
  const effects = new Set(tables.effects.map(({ execution }) => execution));
  const events = new Set(tables.events);
  return [
    ...[...events].filter((id) => !effects.has(id)).map((id) => `execution ${id}: an event without effect`),
    ...[...effects].filter((id) => !events.has(id)).map((id) => `execution ${id}: an effect without event`),
    ...(events.size === tables.events.length ? [] : ['an execution has two events']),
  ];
}
