import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { nextMessage } from '../servers/next-message.js';

/**
 * Counts the promises of one transaction with one statement, without a guard and without gRPC.
 * @param databaseUrl an empty SQLite database
 */
export function countTransaction(databaseUrl: string): Promise<number> {
  const program = fileURLToPath(new URL('transaction-main.js', import.meta.url));
  const child = fork(program, [databaseUrl], {
    execArgv: ['--import', new URL('counting.js', import.meta.url).href],
  });
  return nextMessage<number>(child);
}
