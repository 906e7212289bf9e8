import { createServer, connect as dial, type Socket } from 'node:net';

/** What the clients of a Postgres have sent. */
export interface Traffic {
  statements: number;
  /** Messages of the protocol from client to server, for example Parse, Bind, Execute, Sync. */
  messages: number;
  /** How often a client sent something after an answer had arrived. */
  roundTrips: number;
  /** COMMIT statements, and writes outside of a transaction. */
  commits: number;
}

/** A TCP proxy in front of Postgres that counts and changes nothing. */
export interface CountingProxy {
  /** The connection string that leads through the proxy. */
  readonly url: string;
  readonly traffic: Traffic;
  close(): void;
}

/** Starts a counting proxy in front of the Postgres that `url` names. */
export async function startCountingProxy(url: string): Promise<CountingProxy> {
  const target = new URL(url);
  const traffic: Traffic = { statements: 0, messages: 0, roundTrips: 0, commits: 0 };
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = dial(Number(target.port), target.hostname);
    for (const socket of [client, upstream]) sockets.add(socket.setNoDelay(true).on('error', () => {}));
    const connection = new CountedConnection(traffic);
    client.on('data', (chunk) => connection.sent(chunk));
    upstream.on('data', () => connection.answered());
    client.pipe(upstream).pipe(client);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  return {
    url: Object.assign(new URL(url), { host: `127.0.0.1:${port}` }).href,
    traffic,
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

/** Reads the client's side of one connection, message by message. */
class CountedConnection {
  readonly #traffic: Traffic;
  /** The texts of the prepared statements, by name. */
  readonly #texts = new Map<string, string>();
  #buffered: Buffer = Buffer.alloc(0);
  #isStarted = false;
  #isAnswered = false;
  #inTransaction = false;
  #bound = '';

  constructor(traffic: Traffic) {
    this.#traffic = traffic;
  }

  answered(): void {
    this.#isAnswered = true;
  }

  sent(chunk: Buffer): void {
    if (this.#isStarted && this.#isAnswered) this.#traffic.roundTrips++;
    this.#isAnswered = false;
    this.#buffered = Buffer.concat([this.#buffered, chunk]);
    for (;;) {
      // The first message of a connection has no type.
      const prefix = this.#isStarted ? 1 : 0;
      if (this.#buffered.length < prefix + 4) return;
      const length = prefix + this.#buffered.readUInt32BE(prefix);
      if (this.#buffered.length < length) return;
      const type = prefix === 0 ? '' : String.fromCharCode(this.#buffered[0] as number);
      this.#message(type, this.#buffered.subarray(prefix + 4, length));
      this.#buffered = this.#buffered.subarray(length);
      this.#isStarted = true;
    }
  }

  #message(type: string, body: Buffer): void {
    this.#traffic.messages++;
    const [first = '', second = ''] = body.toString('latin1').split('\0', 2);
    if (type === 'P') this.#texts.set(first, second);
    else if (type === 'B') this.#bound = this.#texts.get(second) ?? '';
    else if (type === 'Q') this.#statement(first);
    else if (type === 'E') this.#statement(this.#bound);
  }

  /** A text may hold several statements, for example BEGIN and a SET LOCAL. */
  #statement(text: string): void {
    for (const part of text.split(';')) {
      if (part.trim() === '') continue;
      const [word = ''] = part.trim().toLowerCase().split(/\s/, 1);
      this.#traffic.statements++;
      if (word === 'begin') this.#inTransaction = true;
      else if (word === 'commit' || !(this.#inTransaction || reading.has(word))) this.#traffic.commits++;
      if (word === 'commit' || word === 'rollback') this.#inTransaction = false;
    }
  }
}

const reading = new Set(['select', 'show', 'set', 'values', 'rollback', 'listen']);
