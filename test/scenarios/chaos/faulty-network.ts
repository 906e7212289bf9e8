import type { Cleanup } from '../../helpers/databases/postgres.js';
import { BalancedChoices, type Random } from '../../helpers/faults/seeded-random.js';
import { type ProxyAction, startGrpcProxy } from '../../helpers/proxies/grpc-proxy.js';
import { statusOf } from '../../helpers/proxies/grpc-upstream.js';
import type { EventCounts } from './event-counts.js';

/** One delivery of a request to a server, and the reply of the server. The client may not have received the reply. */
export interface Delivery {
  readonly key: string;
  /** The position of the request among all requests and replies in the network. */
  readonly began: number;
  /** Absent if the server was down, or was killed before it replied. */
  answer?: {
    readonly at: number;
    readonly code: number;
    readonly replayed: boolean;
    readonly message: Buffer;
  };
}

/** A network between clients and servers that loses, repeats and cuts calls. */
export interface FaultyNetwork {
  /** The address for clients: `127.0.0.1:port`. */
  readonly address: string;
  /** Every delivery of a request, in order. */
  readonly deliveries: readonly Delivery[];
}

/** How often each action occurs in one round of requests, and in one round of replies. */
interface FaultRates {
  readonly requests: Readonly<Partial<Record<ProxyAction, number>>>;
  readonly replies: Readonly<Partial<Record<ProxyAction, number>>>;
}

/**
 * The faults between clients and servers. One reply in three is lost. For half of the lost replies, the stream stays
 * open. One request in five is delivered twice. One request in thirty and one reply in thirty close the connection.
 */
const clientFaults: FaultRates = {
  requests: { pass: 23, twice: 6, cut: 1 },
  replies: { pass: 19, silence: 5, reset: 5, cut: 1 },
};

/** The faults between servers. One reply in ten is lost, and its stream ends. */
export const serverFaults: FaultRates = {
  requests: { pass: 23, twice: 6, cut: 1 },
  replies: { pass: 26, reset: 3, cut: 1 },
};

/** The name under which a run counts an action. */
const eventNames: Partial<Record<ProxyAction, string>> = {
  cut: 'connections closed',
  twice: 'requests duplicated',
  silence: 'replies lost',
  reset: 'replies lost',
};

/** Starts a proxy to the target that injects faults at these rates. */
export async function startFaultyNetwork(
  t: Cleanup,
  target: string | (() => string),
  random: Random,
  counts: EventCounts,
  rates = clientFaults,
): Promise<FaultyNetwork> {
  const requests = new BalancedChoices<ProxyAction>(random, rates.requests);
  const replies = new BalancedChoices<ProxyAction>(random, rates.replies);
  const deliveries: Delivery[] = [];
  let events = 0;
  const choose = (choices: BalancedChoices<ProxyAction>) => () => {
    const action = choices.next();
    const name = eventNames[action];
    if (name) counts.add(name);
    return action;
  };
  const { address } = await startGrpcProxy(t, target, {
    request: choose(requests),
    reply: choose(replies),
    delivered: ({ headers }) => {
      const delivery: Delivery = { key: String(headers['idempotency-key']), began: events++ };
      deliveries.push(delivery);
      return (reply) => {
        const replayed = reply.trailers?.['idempotent-replayed'] === 'true';
        const { message } = reply;
        delivery.answer = { at: events++, code: Number(statusOf(reply)), replayed, message };
      };
    },
  });
  return { address, deliveries };
}
