import type { Consumer, ProcessResult } from 'grpc-replay-guard/consumer';
import { CommitInDoubtError, type Database, DatabaseUnavailableError } from 'grpc-replay-guard/database';
import { called } from './receiver.js';

/** What a work fails with that fails by chance. */
export class Crash extends Error {}

/** Numbers from 0 to 1 that follow from the seed. */
export function chances(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/**
 * Two effects of each message, and a crash before, between or after them at about every other attempt.
 * @param halfDone called between the two
 */
export function flakyWork(database: Database, chance: () => number, halfDone: () => Promise<void>) {
  const write = (effect: string) => database.query('INSERT INTO effects (message) VALUES ($1)', [effect]);
  return async (message: string) => {
    const crashAt = Math.floor(chance() * 6);
    if (crashAt === 0) throw new Crash();
    await write(`${message} first`);
    await halfDone();
    if (crashAt === 1) throw new Crash();
    await write(`${message} second`);
    if (crashAt === 2) throw new Crash();
  };
}

/** What an attempt to deliver a message came to; it is acknowledged with the first two, and comes again after others. */
export type Attempt = ProcessResult<void>['outcome'] | 'crashed' | 'later';

/** Delivers a message until it is acknowledged, as a broker does; tells every attempt. */
export async function insist(
  consumer: Consumer,
  message: string,
  work: (message: string) => Promise<void>,
  tell: (attempt: Attempt) => void,
): Promise<void> {
  for (;;) {
    try {
      return tell((await consumer.processOnce(called(message), () => work(message))).outcome);
    } catch (error) {
      const later = error instanceof DatabaseUnavailableError || error instanceof CommitInDoubtError;
      if (!later && !(error instanceof Crash)) throw error;
      tell(later ? 'later' : 'crashed');
    }
  }
}

/** Does everything for each of the messages, so many of them at once. */
export async function forEach(
  messages: readonly string[],
  atOnce: number,
  each: (message: string) => Promise<unknown>,
): Promise<void> {
  const left = [...messages];
  const worker = async () => {
    for (let message = left.pop(); message !== undefined; message = left.pop()) await each(message);
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}
