import type { ServerResponse } from 'node:http';
import type { Cleanup } from '../../helpers/databases/postgres.js';
import { Deck, type Random } from '../../helpers/faults/seeded-random.js';
import { type Receiver, startReceiver } from '../../helpers/servers/webhook-receiver.js';
import { ORDERS } from './settings.js';

const lost = (response: ServerResponse) => void response.destroy();

/** A receiver that fails at one event in ten, and at another leaves the sender without its answer. */
export async function startBadReceiver(t: Cleanup, random: Random): Promise<Receiver> {
  const receiver = await startReceiver(t);
  const deck = new Deck(random, { well: 8, badly: 1, lost: 1 });
  const answers = { well: 200, badly: 503, lost };
  for (let index = 0; index < ORDERS; index++) receiver.answers.push(answers[deck.deal()]);
  return receiver;
}

/** How often an event came again. */
export function repeats({ received }: Receiver): number {
  return received.length - new Set(received.map(({ id }) => id)).size;
}
