import type { Socket } from 'node:net';

/** Receives the events of a proxied connection, and decides when to cut the connection. */
export interface ConnectionListener {
  /** Called when the client executes a statement. */
  statement(text: string): void;
  /** Called when the client sends something after a server message. */
  roundTrip(): void;
  /**
   * Returns whether to cut the connection before or after this statement.
   * @param earlier the earlier statements since the last BEGIN
   */
  cut(text: string, earlier: readonly string[]): 'before' | 'after' | undefined;
  /** Returns the SQLSTATE with which the server must fail this statement, if it must fail. */
  fail(text: string): string | undefined;
  /** Called when the connection was cut because `cut` returned a value. */
  disconnected(): void;
}

/** Forwards one client's connection to Postgres message by message, and reports its statements. */
export class ProxiedConnection {
  readonly #client: Socket;
  readonly #upstream: Socket;
  readonly #latencyMs: number;
  readonly #listener: ConnectionListener;
  /** The texts of the statements prepared on this connection, by name. */
  readonly #prepared = new Map<string, string>();
  /** One entry for each expected ReadyForQuery message: whether its arrival cuts the connection. */
  readonly #expectedReady: boolean[] = [];
  /** The statements since the last BEGIN. */
  #transaction: string[] = [];
  #boundText = '';
  #started = false;
  #cutAtReady = false;
  #serverSentLast = false;

  constructor(client: Socket, upstream: Socket, latencyMs: number, listener: ConnectionListener) {
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
    if (this.#serverSentLast && this.#started) this.#listener.roundTrip();
    this.#serverSentLast = false;
    const text = this.#textOf(type, body);
    if (text !== undefined && this.#execute(text)) {
      this.#cut();
      return;
    }
    if (type === 'Q' || type === 'S') {
      this.#expectedReady.push(this.#cutAtReady);
      this.#cutAtReady = false;
    }
    const failure = type === 'B' ? this.#listener.fail(this.#boundText.trim()) : undefined;
    this.#upstream.write(failure === undefined ? raw : failingStatement(failure));
  }

  /** Tracks Parse and Bind. Returns the text of the statement that the message executes, if any. */
  #textOf(type: string, body: Buffer): string | undefined {
    const [first = '', second = ''] = body.toString('utf8').split('\0');
    if (type === 'P') this.#prepared.set(first, withoutSchemas(second));
    if (type === 'B') this.#boundText = this.#prepared.get(second) ?? '';
    if (type === 'Q') return first;
    return type === 'E' ? this.#boundText : undefined;
  }

  #execute(text: string): boolean {
    this.#listener.statement(text.trim());
    if (text.startsWith('BEGIN')) this.#transaction = [];
    const cut = this.#listener.cut(text.trim(), this.#transaction);
    this.#transaction.push(text);
    // The statements of one batch have one ReadyForQuery message.
    if (cut === 'after') this.#cutAtReady = true;
    return cut === 'before';
  }

  #fromServer(type: string, raw: Buffer): void {
    if (type === 'Z' && !this.#started) this.#started = true;
    else if (type === 'Z' && this.#expectedReady.shift()) this.#cut();
    if (this.#expectedReady[0]) return;
    const deliver = () => {
      this.#serverSentLast = true;
      if (!this.#client.destroyed) this.#client.write(raw);
    };
    if (this.#latencyMs > 0) setTimeout(deliver, this.#latencyMs);
    else deliver();
  }

  #cut(): void {
    this.#client.destroy();
    this.#upstream.destroy();
    this.#listener.disconnected();
  }
}

/** Returns the Parse and Bind messages of a statement that fails when it is executed. */
function failingStatement(sqlState: string): Buffer {
  const text = `DO $$ BEGIN RAISE EXCEPTION 'failed by the test' USING ERRCODE = '${sqlState}'; END $$`;
  const message = (type: string, body: string) => {
    const raw = Buffer.from(`${type}\0\0\0\0${body}`);
    raw.writeInt32BE(raw.length - 1, 1);
    return raw;
  };
  return Buffer.concat([message('P', `\0${text}\0\0\0`), message('B', '\0\0\0\0\0\0\0\0')]);
}

/** Splits a stream into protocol messages. The first message of a client has no type byte. */
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

/** Returns a statement without the schemas of the library's tables, as the sources of the library have it. */
function withoutSchemas(text: string): string {
  return text.replaceAll(/(?:\w+|"[^"]+")\.(?=replay_guard_)/g, '');
}
