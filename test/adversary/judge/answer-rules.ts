import { isOk, isRefusedBeforeStart, isResult, isTransient } from './answers.js';
import { groupedBy, ownerOf } from './effect-rules.js';
import { type Attempt, type Execution, nameOf, type RoundHistory } from './history.js';
import type { Invariant, Rule } from './rule.js';

/** The rules on answers and executions. */
export const answerRules: readonly (readonly [Invariant, Rule])[] = [
  [2, equalReplies],
  [3, noExecutionAfterReply],
  [4, refusalsExecuteNothing],
  [5, everyKeyAnswered],
  [7, scopesShareNothing],
  ['lease', oneExecutionPerLease],
  ['process', ({ crashes }) => crashes],
];

const own = (attempts: readonly Attempt[]) => attempts.filter(({ isOtherRequest }) => !isOtherRequest);
const byOperation = (attempts: readonly Attempt[]) =>
  groupedBy(attempts, ({ operation }) => nameOf(operation));

/** All stored results of an operation have the same code and the same bytes, and at most one is not a replay. */
function equalReplies({ attempts }: RoundHistory): string[] {
  return [...byOperation(own(attempts).filter(isResult))].flatMap(([name, results]) => {
    const different = new Set(results.map(({ code, bytes }) => `${code} ${bytes}`)).size;
    const first = results.filter(({ replayed }) => !replayed).length;
    if (different > 1) return [`${name}: ${different} different replies`];
    return first > 1 ? [`${name}: ${first} replies that are not replays`] : [];
  });
}

/** A call that began after the first result of its operation gets a replay or a transient refusal, and executes nothing. */
function noExecutionAfterReply({ attempts, executions }: RoundHistory): string[] {
  const entered = new Set(executions.map(({ attempt }) => attempt));
  return [...byOperation(own(attempts))].flatMap(([name, all]) => {
    const firstAt = Math.min(...all.filter(isResult).map(({ endedAt }) => endedAt));
    const later = all.filter(({ beganAt }) => beganAt > firstAt);
    return later.flatMap((attempt) => {
      if (entered.has(attempt.id)) return [`${name}: executed after its first reply`];
      // A key with a short retention may have expired, and is then refused.
      const isAnswered = attempt.replayed || attempt.reason === 'IDEMPOTENCY_KEY_EXPIRED';
      if (isAnswered || isTransient(attempt)) return [];
      return [`${name}: ${attempt.code} ${attempt.reason || attempt.details} after its first reply`];
    });
  });
}

/** A call that was refused before its start did not enter the handler. */
function refusalsExecuteNothing({ attempts, executions }: RoundHistory): string[] {
  const entered = new Set(executions.map(({ attempt }) => attempt));
  const refused = attempts.filter((attempt) => isRefusedBeforeStart(attempt) && entered.has(attempt.id));
  return refused.map(({ operation, reason }) => `${nameOf(operation)}: ${reason}, but the handler ran`);
}

/** Every operation has a result within the time of recovery. A key with a short retention may have expired. */
function everyKeyAnswered(history: RoundHistory): string[] {
  const { operations, attempts, faultsEndedAt, recoveryMs, mayKeepExpired } = history;
  const groups = byOperation(own(attempts));
  return operations.flatMap((operation) => {
    const name = nameOf(operation);
    const all = groups.get(name) ?? [];
    const isEnd = (attempt: Attempt) =>
      isResult(attempt) || (operation.method === 'close' && attempt.reason === 'IDEMPOTENCY_KEY_EXPIRED');
    const known = all.find(isEnd);
    const wrong = all.find((attempt) => !isEnd(attempt) && !isTransient(attempt));
    if (wrong) return [`${name}: ${wrong.code} ${wrong.reason || wrong.details}`];
    const last = all.at(-1);
    // Past its retention by the clock, but not by the retention time, a key is refused as in progress.
    if (!known && mayKeepExpired && operation.method === 'close' && last) return [];
    if (!known) return [`${name}: no result, the last answer is ${last?.reason || last?.details}`];
    const late = known.endedAt - faultsEndedAt;
    return late > recoveryMs ? [`${name}: a result only ${late} ms after the faults`] : [];
  });
}

/** Two operations never share the bytes of a reply that names its execution. */
function scopesShareNothing({ attempts }: RoundHistory): string[] {
  const replies = own(attempts).filter((attempt) => isOk(attempt) && attempt.execution !== '');
  return [...groupedBy(replies, ({ execution }) => execution)].flatMap(([execution, shared]) => {
    const names = new Set(shared.map(({ operation }) => nameOf(operation)));
    return names.size > 1 ? [`execution ${execution} answered ${[...names].join(' and ')}`] : [];
  });
}

/** While a lease is fresh and its execution runs, no second execution of the operation starts. */
function oneExecutionPerLease({ executions, quietLeaseMs }: RoundHistory): string[] {
  if (quietLeaseMs === undefined) return [];
  const leased = executions.filter(({ method }) => method === 'transfer');
  return [...groupedBy(leased, ownerOf)].flatMap(([owner, runs]) => {
    const sorted = [...runs].sort((a, b) => a.startedAt - b.startedAt);
    const overlaps = (next: Execution, index: number) => {
      const previous = sorted[index];
      if (!previous) return false;
      const isRunning = previous.endedAt === undefined || previous.endedAt > next.startedAt;
      // Half a lease is the margin for the time between the claim and the start of the handler.
      return isRunning && next.startedAt - previous.startedAt < quietLeaseMs / 2;
    };
    return sorted.slice(1).some(overlaps) ? [`${owner}: two executions during one lease`] : [];
  });
}
