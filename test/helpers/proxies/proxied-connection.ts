import type { Socket } from 'node:net';

export interface Listener {
  statement(text: string): void;
  roundTrip(): void;
  /** Whether, and when, the connection is to be cut at this statement. */
  cut(text: string): 'before' | 'after' | undefined;
  /** The connection has been cut as `cut` wanted it. */
  severed(): void;
}

/** One client's talk with Postgres, message by message. */
export class PostgresConversation {
  readonly #client: Socket;
  readonly #upstream: Socket;
  readonly #latencyMs: number;
  readonly #listener: Listener;
  /** The texts of the statements prepared on this connection, by name. */
  readonly #prepared = new Map<string, string>();
  /** One for each ReadyForQuery that is still to come: whether the connection is to be cut at it. */
  readonly #unanswered: boolean[] = [];
  #bound = '';
  #started = false;
  #cutting = false;
  #answeredLast = false;

  constructor(client: Socket, upstream: Socket, latencyMs: number, listener: Listener) {
    this.#client = client;
    this.#upstream = upstream;
    this.#latencyMs = latencyMs;
    this.#listener = listener;
    client.on(
      'data',
      messages((type, body, raw) => this.#fromClient(type, body, raw), true),
    );
    upstream.on(
      'data',
      messages((type, _body, raw) => this.#fromServer(type, raw), false),
    );
    client.on('close', () => upstream.destroy());
    upstream.on('close', () => client.destroy());
  }

  #fromClient(type: string, body: Buffer, raw: Buffer): void {
    if (this.#client.destroyed) return;
    if (this.#answeredLast && this.#started) this.#listener.roundTrip();
    this.#answeredLast = false;
    const text = this.#textOf(type, body);
    if (text !== undefined && this.#execute(text)) {
      this.#cut();
      return;
    }
    if (type === 'Q' || type === 'S') {
      this.#unanswered.push(this.#cutting);
      this.#cutting = false;
    }
    this.#upstream.write(raw);
  }

  /** Follows Parse and Bind; returns the text where the message has one executed. */
  #textOf(type: string, body: Buffer): string | undefined {
    const [first = '', second = ''] = body.toString('utf8').split('\0');
    if (type === 'P') this.#prepared.set(first, second);
    if (type === 'B') this.#bound = this.#prepared.get(second) ?? '';
    if (type === 'Q') return first;
    return type === 'E' ? this.#bound : undefined;
  }

  #execute(text: string): boolean {
    this.#listener.statement(text.trim());
    const cut = this.#listener.cut(text.trim());
    this.#cutting = cut === 'after';
    return cut === 'before';
  }

  #fromServer(type: string, raw: Buffer): void {
    if (type === 'Z' && !this.#started) this.#started = true;
    else if (type === 'Z' && this.#unanswered.shift()) this.#cut();
    if (this.#unanswered[0]) return;
    const deliver = () => {
      this.#answeredLast = true;
      if (!this.#client.destroyed) this.#client.write(raw);
    };
    if (this.#latencyMs > 0) setTimeout(deliver, this.#latencyMs);
    else deliver();
  }

  #cut(): void {
    this.#client.destroy();
    this.#upstream.destroy();
    this.#listener.severed();
  }
}

/** Splits a stream into messages; the first of a client has no type. */
function messages(each: (type: string, body: Buffer, raw: Buffer) => void, startup: boolean) {
  let buffered = Buffer.alloc(0);
  let typeless = startup;
  return (chunk: Buffer) => {
    buffered = Buffer.concat([buffered, chunk]);
    for (;;) {
      const prefix = typeless ? 0 : 1;
      if (buffered.length < prefix + 4) return;
      const length = prefix + buffered.readUInt32BE(prefix);
      if (buffered.length < length) return;
      const raw = buffered.subarray(0, length);
      const type = typeless ? '' : String.fromCharCode(raw[0] as number);
      buffered = buffered.subarray(length);
      typeless = false;
      each(type, raw.subarray(prefix + 4), raw);
    }
  };
}
