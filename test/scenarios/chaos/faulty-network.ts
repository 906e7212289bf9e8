import type { Cleanup } from '../../helpers/databases/postgres.js';
import { Deck, type Random } from '../../helpers/faults/seeded-random.js';
import { type ProxyAction, startGrpcProxy } from '../../helpers/proxies/grpc-proxy.js';
import { statusOf } from '../../helpers/proxies/grpc-upstream.js';
import type { Tally } from './event-counts.js';

/** One delivery of a request to a server, and what the server answered, whatever became of that on its way back. */
export interface Delivery {
  readonly key: string;
  /** Its place in the order of all that happened on the line. */
  readonly began: number;
  /** Absent where the server died, or was down. */
  answer?: {
    readonly at: number;
    readonly code: number;
    readonly replayed: boolean;
    readonly message: Buffer;
  };
}

export interface BadLine {
  readonly address: string;
  /** Every delivery of a request, in order. */
  readonly deliveries: readonly Delivery[];
}

/** How many requests, and how many replies, meet which fate. */
interface ProxyHooks {
  readonly requests: Readonly<Partial<Record<ProxyAction, number>>>;
  readonly replies: Readonly<Partial<Record<ProxyAction, number>>>;
}

/**
 * Loses one reply in three, half of them without a word, delivers one request in five twice, and closes a connection
 * now and then, before the server has the request or after it has answered.
 */
const outside: ProxyHooks = {
  requests: { pass: 23, twice: 6, cut: 1 },
  replies: { pass: 19, silence: 5, reset: 5, cut: 1 },
};

/** As it may be between servers: fewer replies are lost, and none without a word. */
export const inside: ProxyHooks = {
  requests: { pass: 23, twice: 6, cut: 1 },
  replies: { pass: 26, reset: 3, cut: 1 },
};

/** What a run counts of a fate. */
const names: Partial<Record<ProxyAction, string>> = {
  cut: 'connections closed',
  twice: 'requests duplicated',
  silence: 'replies lost',
  reset: 'replies lost',
};

/** A line from clients to servers that does to their calls what the fates say. */
export async function startBadLine(
  t: Cleanup,
  target: string | (() => string),
  random: Random,
  tally: Tally,
  fates = outside,
): Promise<BadLine> {
  const requests = new Deck<ProxyAction>(random, fates.requests);
  const replies = new Deck<ProxyAction>(random, fates.replies);
  const deliveries: Delivery[] = [];
  let happened = 0;
  const dealt = (deck: Deck<ProxyAction>) => () => {
    const fate = deck.deal();
    const name = names[fate];
    if (name) tally.add(name);
    return fate;
  };
  const { address } = await startGrpcProxy(t, target, {
    request: dealt(requests),
    reply: dealt(replies),
    delivered: ({ headers }) => {
      const delivery: Delivery = { key: String(headers['idempotency-key']), began: happened++ };
      deliveries.push(delivery);
      return (reply) => {
        const replayed = reply.trailers?.['idempotent-replayed'] === 'true';
        const { message } = reply;
        delivery.answer = { at: happened++, code: Number(statusOf(reply)), replayed, message };
      };
    },
  });
  return { address, deliveries };
}
