import { type AddressInfo, createServer, connect as dial, type Socket } from 'node:net';
import type { Cleanup } from '../databases/postgres.js';
import { PostgresConversation } from './proxied-connection.js';

export interface ProxyOptions {
  /**
   * How long answers are held back, in milliseconds. What a client sends meanwhile belongs to the same
   * round trip, so that round trips can be counted. Default: 0.
   */
  readonly latencyMs?: number;
}

/** A TCP proxy before Postgres that understands the protocol well enough to count it and to cut it. */
export interface PostgresProxy {
  /** The connection string that leads through the proxy. */
  readonly url: string;
  /** Every statement that clients had executed, in the order it was sent. */
  readonly statements: string[];
  /** How often a client sent something after an answer had come. */
  roundTrips: number;
  /** Connections that clients opened so far. */
  connections: number;
  /** Connections that were cut as soon as clients opened them, or left without an answer. */
  refused: number;
  /** Connections that were cut as `cutAt` wanted it. */
  cuts: number;
  /** Starts the counts anew. */
  reset(): void;
  /**
   * Cuts the connection at the next statement that matches: before Postgres gets it, or after it ran.
   * @param then what becomes of everything else at that moment
   */
  cutAt(text: RegExp, when: 'before' | 'after', then?: 'down' | 'hang'): void;
  /** Cuts every connection and accepts no new one until `up`. */
  down(): void;
  /** Answers nobody until `up`, and those who are connected never again, without cutting anything. */
  hang(): void;
  up(): void;
}

/** Puts a proxy before the Postgres that `url` names; closed after the test. */
export async function startProxy(
  t: Cleanup,
  url: string,
  options: ProxyOptions = {},
): Promise<PostgresProxy> {
  const target = new URL(url);
  const sockets = new Set<Socket>();
  let refusing: 'cut' | 'hang' | undefined;
  let cut: { text: RegExp; when: 'before' | 'after' } | undefined;
  let afterCut: 'down' | 'hang' | undefined;
  const server = createServer((client) => {
    if (refusing) {
      proxy.refused++;
      if (refusing === 'cut') client.destroy();
      else silence(client);
      return;
    }
    proxy.connections++;
    const upstream = dial(Number(target.port), target.hostname);
    for (const socket of [client, upstream]) sockets.add(socket.setNoDelay(true).on('error', () => {}));
    new PostgresConversation(client, upstream, options.latencyMs ?? 0, {
      statement: (text) => proxy.statements.push(text),
      roundTrip: () => proxy.roundTrips++,
      cut: (text) => {
        if (!cut?.text.test(text)) return undefined;
        const { when } = cut;
        cut = undefined;
        return when;
      },
      severed: () => {
        proxy.cuts++;
        const then = afterCut;
        afterCut = undefined;
        if (then) proxy[then]();
      },
    });
  });
  const silence = (socket: Socket) => {
    sockets.add(socket.on('error', () => {}));
    // Read, so that the sender's end is noticed, and not listened to.
    socket.removeAllListeners('data').resume();
  };
  const drop = () => {
    for (const socket of sockets) socket.destroy();
    sockets.clear();
  };
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const proxy: PostgresProxy = {
    url: Object.assign(new URL(url), { host: `127.0.0.1:${(server.address() as AddressInfo).port}` }).href,
    ...{ statements: [], roundTrips: 0, connections: 0, refused: 0, cuts: 0 },
    reset: () => Object.assign(proxy, { statements: [], roundTrips: 0, connections: 0, refused: 0, cuts: 0 }),
    cutAt: (text, when, then) => {
      cut = { text, when };
      afterCut = then;
    },
    down: () => {
      refusing = 'cut';
      drop();
    },
    hang: () => {
      refusing = 'hang';
      sockets.forEach(silence);
    },
    up: () => {
      refusing = undefined;
    },
  };
  t.teardown(() => {
    drop();
    server.close();
  });
  return proxy;
}
