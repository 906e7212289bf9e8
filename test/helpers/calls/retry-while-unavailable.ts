import { status } from '@grpc/grpc-js';
import { poll } from '../waiting/poll.js';
import type { Reply } from './call.js';

/** Retries while the reply is UNAVAILABLE, as the contract requires of clients. */
export async function retryWhileUnavailable<R>(attempt: () => Promise<Reply<R>>): Promise<Reply<R>> {
  let reply = await attempt();
  await poll(`the call ends; last reply: ${reply.details}`, async () => {
    if (reply.code === status.UNAVAILABLE) reply = await attempt();
    return reply.code !== status.UNAVAILABLE;
  });
  return reply;
}
