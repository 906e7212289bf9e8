import { status } from '@grpc/grpc-js';
import type { Attempt } from '../judge/history.js';
import type { JournalLine } from '../server/journal.js';

/** Counts the events of a round: the strikes, the answers of each kind, and what the servers wrote down. */
export function countEvents(
  strikes: Readonly<Record<string, number>>,
  attempts: readonly Attempt[],
  journal: readonly JournalLine[],
): Record<string, number> {
  const counts: Record<string, number> = { ...strikes };
  const add = (name: string) => {
    counts[name] = (counts[name] ?? 0) + 1;
  };
  for (const { replayed, reason, code } of attempts) {
    add('calls');
    if (replayed) add('replays');
    if (reason !== '') add(reason.replace('IDEMPOTENCY_', ''));
    else if (code !== status.OK && code !== status.NOT_FOUND) add('lost answers');
  }
  for (const { type } of journal) {
    if (type === 'start') add('executions');
    if (type === 'takeover') add('takeovers');
    if (type === 'commit in doubt') add('commits in doubt');
    if (type === 'circuit opened') add('circuits opened');
  }
  return counts;
}
