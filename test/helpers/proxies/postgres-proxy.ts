import { type AddressInfo, createServer, connect as dial, type Socket } from 'node:net';
import { type Cleanup, isPooled, servedUrl } from '../databases/postgres.js';
import { ProxiedConnection } from './proxied-connection.js';

/** The statement that sets the time-outs of a transaction through a pooler. */
const SETTINGS = /^SELECT true AS differs/;

/** Options of `startProxy`. */
export interface ProxyOptions {
  /**
   * The delay of every server message, in milliseconds. Messages that the client sends during the delay belong to the
   * same round trip, so round trips can be counted. Default: 0.
   */
  readonly latencyMs?: number;
}

/** A TCP proxy in front of Postgres that counts statements and round trips, and can cut connections. */
export interface PostgresProxy {
  /** The connection string that leads through the proxy. */
  readonly url: string;
  /**
   * Every statement that clients executed, in the order of sending. With `TEST_POOLER`, except the statement that sets the
   * time-outs of a transaction.
   */
  readonly statements: string[];
  /** How often a client sent something after a server message. */
  roundTrips: number;
  /** The number of connections that clients opened so far. */
  connections: number;
  /** The number of connections that `down` or `hang` refused when clients opened them. */
  refused: number;
  /** The number of connections that `cutAt` cut. */
  cuts: number;
  /** Sets all counts to zero. */
  reset(): void;
  /**
   * Cuts the connection at the next statement that matches: before Postgres gets the statement, or after its result.
   * @param then the action on all other connections at that moment
   * @param skipped the number of matching statements that pass before the cut
   * @param behind matches an earlier statement of the same transaction. Other work may send the same text.
   */
  cutAt(
    text: RegExp,
    when: 'before' | 'after',
    then?: 'down' | 'hang',
    skipped?: number,
    behind?: RegExp,
  ): void;
  /**
   * Makes the server fail the next statement that matches, in its place in the protocol, as if for example an operator
   * had cancelled the statement. The statement has no effect.
   */
  failAt(text: RegExp, sqlState: string): void;
  /** Cuts every connection and refuses new ones until `up`. */
  down(): void;
  /** Keeps every connection open but forwards nothing. New connections are forwarded again after `up`. */
  hang(): void;
  /** Accepts new connections again. */
  up(): void;
  /** Cuts every connection and leads new ones to another Postgres, as after a failover. */
  redirect(url: string): void;
}

/** Starts a proxy in front of the Postgres at `url`, and closes the proxy after the test. */
export async function startProxy(
  t: Cleanup,
  url: string,
  options: ProxyOptions = {},
): Promise<PostgresProxy> {
  let target = new URL(servedUrl(url));
  const sockets = new Set<Socket>();
  let refusing: 'cut' | 'hang' | undefined;
  let cut: { text: RegExp; when: 'before' | 'after'; skipped: number; behind?: RegExp } | undefined;
  let afterCut: 'down' | 'hang' | undefined;
  let failing: { text: RegExp; sqlState: string } | undefined;
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
    new ProxiedConnection(client, upstream, options.latencyMs ?? 0, {
      statement: (text) => {
        if (!isPooled() || !SETTINGS.test(text)) proxy.statements.push(text);
      },
      roundTrip: () => proxy.roundTrips++,
      cut: (text, earlier) => {
        if (!cut?.text.test(text)) return undefined;
        const { behind } = cut;
        if (behind && !earlier.some((statement) => behind.test(statement))) return undefined;
        if (cut.skipped-- > 0) return undefined;
        const { when } = cut;
        cut = undefined;
        return when;
      },
      fail: (text) => {
        if (!failing?.text.test(text)) return undefined;
        const { sqlState } = failing;
        failing = undefined;
        return sqlState;
      },
      disconnected: () => {
        proxy.cuts++;
        const then = afterCut;
        afterCut = undefined;
        if (then) proxy[then]();
      },
    });
  });
  const silence = (socket: Socket) => {
    sockets.add(socket.on('error', () => {}));
    // The data is read and dropped: without reading, the end of the sender's stream would not be noticed.
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
    cutAt: (text, when, then, skipped = 0, behind) => {
      cut = { text, when, skipped, ...(behind && { behind }) };
      afterCut = then;
    },
    failAt: (text, sqlState) => {
      failing = { text, sqlState };
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
    redirect: (next) => {
      target = new URL(servedUrl(next));
      drop();
    },
  };
  t.teardown(() => {
    drop();
    server.close();
  });
  return proxy;
}
