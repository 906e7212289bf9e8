import {
  type ClientOptions,
  credentials,
  Metadata,
  type ServerUnaryCall,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import {
  type Outcome,
  type SendClock,
  type SendOptions,
  type SendUnary,
  sendUntilKnown,
} from 'grpc-replay-guard/client';
import { EXPIRES_TRAILER, type StatusDetail, statusDetails } from 'grpc-replay-guard/protocol';
import { Connection } from '../calls/call.js';
import type { Cleanup } from '../databases/postgres.js';
import { type AppendResponse, loadLedger } from './ledger.js';
import { startServer } from './server.js';

/** The answer to one attempt, or a function that the server calls when the attempt arrives. */
export type Scripted =
  | {
      readonly code: status;
      readonly reason?: string;
      readonly domain?: string;
      readonly retryInfoMs?: number;
      readonly trailers?: Record<string, string | Buffer>;
    }
  | (() => Promise<Scripted>);

/** A clock that stands still between calls of `wait` and `skip`. `wait` advances the clock without a real pause. */
export class SkippedTime implements SendClock {
  readonly pauses: number[] = [];
  #now = Date.now();
  now(): number {
    return this.#now;
  }
  async wait(ms: number): Promise<void> {
    this.pauses.push(ms);
    this.#now += ms;
  }
  /** Advances the clock, or sets it back if `ms` is negative. */
  skip(ms: number): void {
    this.#now += ms;
  }
}

/** A scripted server and a client of it. */
export interface Scene {
  readonly clock: SkippedTime;
  /** The key and the first-sent time of each attempt. */
  readonly attempts: string[];
  /** The time until the deadline of each attempt at its arrival, in milliseconds. */
  readonly timeouts: number[];
  /** Makes one attempt. The first argument of `sendUntilKnown`. */
  readonly unary: SendUnary<AppendResponse>;
  /** Calls `sendUntilKnown` with the clock of the scene. */
  send(options?: SendOptions): Promise<Outcome<AppendResponse>>;
}

const { Append } = loadLedger();

/**
 * Starts a server that answers as scripted and then repeats the last answer, and a client for
 * `sendUntilKnown`.
 */
export async function scene(
  t: Cleanup,
  script: readonly Scripted[],
  options: ClientOptions = {},
): Promise<Scene> {
  const attempts: string[] = [];
  const timeouts: number[] = [];
  const handler = async (
    call: ServerUnaryCall<unknown, AppendResponse>,
    callback: (error: Partial<ServiceError> | null, response?: AppendResponse, trailers?: Metadata) => void,
  ) => {
    const sent = ['idempotency-key', 'idempotency-first-sent'].map((name) =>
      call.metadata.get(name).join('|'),
    );
    timeouts.push(Number(call.getDeadline()) - Date.now());
    attempts.push(sent.join(' '));
    let line = script[Math.min(attempts.length, script.length) - 1];
    if (typeof line === 'function') line = await line();
    const scripted = line as Exclude<Scripted, () => unknown>;
    const trailers = trailersOf(scripted);
    if (scripted.code === status.OK) callback(null, { entryId: 'e' }, trailers);
    else callback({ code: scripted.code, details: 'as scripted', metadata: trailers });
  };
  const { address } = await startServer(t, { services: [[{ Append }, { Append: handler as never }]] });
  const { client } = new Connection(address, credentials.createInsecure(), options);
  t.teardown(() => client.close());
  const clock = new SkippedTime();
  const { path, requestSerialize, responseDeserialize } = Append;
  const unary: SendUnary<AppendResponse> = (...sent) =>
    client.makeUnaryRequest(path, requestSerialize, responseDeserialize, { account: 'a' }, ...sent);
  const send = (given: SendOptions = {}) => sendUntilKnown(unary, { clock, random: () => 1, ...given });
  return { clock, attempts, timeouts, unary, send };
}

function trailersOf(line: Exclude<Scripted, () => unknown>): Metadata {
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(line.trailers ?? {})) metadata.set(name, value);
  const { reason, domain = 'grpc-replay-guard', retryInfoMs } = line;
  const details: StatusDetail[] = [
    ...(reason ? [{ errorInfo: { reason, domain } }] : []),
    ...(retryInfoMs === undefined ? [] : [{ retryInfo: { retryDelayMs: retryInfoMs } }]),
  ];
  if (details.length > 0) {
    metadata.set('grpc-status-details-bin', statusDetails(line.code, 'as scripted', details));
  }
  return metadata;
}

/** The trailer of a stored reply. */
export const stored = { [EXPIRES_TRAILER]: '2100-01-01T00:00:00.000Z' };
