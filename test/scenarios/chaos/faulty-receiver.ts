import type { ServerResponse } from 'node:http';
import type { Cleanup } from '../../helpers/databases/postgres.js';
import { BalancedChoices, type Random } from '../../helpers/faults/seeded-random.js';
import { type Receiver, startReceiver } from '../../helpers/servers/webhook-receiver.js';
import { ORDERS } from './settings.js';

const dropResponse = (response: ServerResponse) => void response.destroy();

/** Starts a receiver that refuses one event in ten, and drops the response to another one in ten. */
export async function startFaultyReceiver(t: Cleanup, random: Random): Promise<Receiver> {
  const receiver = await startReceiver(t);
  const choices = new BalancedChoices(random, { accept: 8, refuse: 1, drop: 1 });
  const answers = { accept: 200, refuse: 503, drop: dropResponse };
  for (let index = 0; index < ORDERS; index++) receiver.answers.push(answers[choices.next()]);
  return receiver;
}

/** Counts the repeated deliveries of events. */
export function countRepeats({ received }: Receiver): number {
  return received.length - new Set(received.map(({ id }) => id)).size;
}
