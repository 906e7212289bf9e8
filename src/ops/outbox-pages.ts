import type { Outbox } from 'grpc-replay-guard/outbox';
import type { Ops } from './ops.js';

/** Adds the outbox pages: a report without payloads, and actions on dead letters and subscriptions. */
export function addOutboxPages(ops: Ops, outbox: Outbox): void {
  ops.show('/outbox', async () => ({
    destinations: await outbox.report(),
    deadLetters: await outbox.deadLetters(),
  }));
  ops.act('/outbox/requeue', async (given) => {
    const { id, destination } = given;
    if (id) return { requeued: await outbox.requeue(id) };
    return destination ? { requeued: await outbox.requeueAll(destination) } : undefined;
  });
  ops.act('/outbox/discard', async ({ id }) => (id ? { discarded: await outbox.discard(id) } : undefined));
  ops.act('/outbox/reopen', async ({ destination }) =>
    destination ? { reopened: await outbox.reopen(destination) } : undefined,
  );
}
