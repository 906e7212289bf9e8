import type { ExecutionContext } from 'ava';
import { createConsumer, processOnce } from 'grpc-replay-guard/consumer';
import type { Outbox } from 'grpc-replay-guard/outbox';
import { append, notebook, relayTo, rounds } from './outbox.js';

/** Appends events and delivers them in order, and processes a message once that comes twice. */
export async function useOutboxAndConsumer(t: ExecutionContext, outbox: Outbox): Promise<void> {
  const { notes, write } = notebook();
  await append(outbox, ['a', 1], ['a', 2], ['b', 1]);
  t.deepEqual(await rounds(relayTo(t, outbox, write)), [2, 1]);
  t.deepEqual([...notes].sort(), ['a1', 'a2', 'b1']);
  const { database } = outbox;
  await (await createConsumer({ database })).close();
  const message = { consumer: 'receiver', scope: 'queue', messageId: 'ä' };
  t.is((await processOnce(database, message, async () => {})).outcome, 'processed');
  t.is((await processOnce(database, message, async () => {})).outcome, 'duplicate');
}
