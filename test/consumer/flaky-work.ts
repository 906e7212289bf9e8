import type { Consumer, ProcessResult } from 'grpc-replay-guard/consumer';
import { CommitInDoubtError, type Database, DatabaseUnavailableError } from 'grpc-replay-guard/database';
import type { Random } from '../helpers/faults/seeded-random.js';
import { named } from './receiver.js';

/** The error of a simulated crash. */
export class Crash extends Error {}

/**
 * Work that writes two effects of each message. About every second attempt crashes before, between or after
 * the effects.
 * @param betweenEffects called between the two effects
 */
export function flakyWork(database: Database, random: Random, betweenEffects: () => Promise<void>) {
  const write = (effect: string) => database.query('INSERT INTO effects (message) VALUES ($1)', [effect]);
  return async (message: string) => {
    const crashAt = Math.floor(random() * 6);
    if (crashAt === 0) throw new Crash();
    await write(`${message} first`);
    await betweenEffects();
    if (crashAt === 1) throw new Crash();
    await write(`${message} second`);
    if (crashAt === 2) throw new Crash();
  };
}

/** The result of one delivery. A message is acknowledged after `processed` or `duplicate`, otherwise redelivered. */
export type Attempt = ProcessResult<void>['outcome'] | 'crashed' | 'later';

/** Delivers a message until the message is acknowledged, as a broker does. Calls `onAttempt` after each delivery. */
export async function deliverUntilAcknowledged(
  consumer: Consumer,
  message: string,
  work: (message: string) => Promise<void>,
  onAttempt: (attempt: Attempt) => void,
): Promise<void> {
  for (;;) {
    try {
      return onAttempt((await consumer.processOnce(named(message), () => work(message))).outcome);
    } catch (error) {
      const later = error instanceof DatabaseUnavailableError || error instanceof CommitInDoubtError;
      if (!later && !(error instanceof Crash)) throw error;
      onAttempt(later ? 'later' : 'crashed');
    }
  }
}

/** Calls `each` for every message, at most `concurrency` at the same time. */
export async function forEach(
  messages: readonly string[],
  concurrency: number,
  each: (message: string) => Promise<unknown>,
): Promise<void> {
  const remaining = [...messages];
  const worker = async () => {
    for (let message = remaining.pop(); message !== undefined; message = remaining.pop()) await each(message);
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
}
