import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Client, credentials } from '@grpc/grpc-js';
import type { ServerMessage, Variant } from './variant.js';

const CONNECTIONS = 4;

/** A running server of a variant, with clients. */
export class Subject {
  readonly variant: Variant;
  readonly clients: readonly Client[];
  readonly #process: ChildProcess;

  private constructor(variant: Variant, child: ChildProcess, port: number) {
    this.variant = variant;
    this.#process = child;
    this.clients = Array.from(
      { length: CONNECTIONS },
      () =>
        new Client(`127.0.0.1:${port}`, credentials.createInsecure(), {
          'grpc.use_local_subchannel_pool': 1,
        }),
    );
  }

  /** Starts the server of a variant in a separate process. */
  static async start(variant: Variant): Promise<Subject> {
    const child = fork(fileURLToPath(new URL('server.js', import.meta.url)), [JSON.stringify(variant)]);
    const message = await nextMessage(child);
    if (message.kind !== 'listening') throw new Error('the first message of the server must be its port');
    return new Subject(variant, child, message.port);
  }

  /** Resolves to the CPU time that the server has used since its start, in microseconds. */
  async cpuMicros(): Promise<number> {
    this.#process.send('cpu');
    const message = await nextMessage(this.#process);
    return message.kind === 'cpu' ? message.micros : 0;
  }

  /** Closes the clients and kills the server. */
  stop(): void {
    for (const client of this.clients) client.close();
    this.#process.kill('SIGKILL');
  }
}

async function nextMessage(child: ChildProcess): Promise<ServerMessage> {
  const [message] = await Promise.race([
    once(child, 'message'),
    once(child, 'exit').then(() => {
      throw new Error('the server ended before its message');
    }),
  ]);
  return message as ServerMessage;
}
