import { randomUUID } from 'node:crypto';
import { credentials } from '@grpc/grpc-js';
import { Connection, type Reply } from '../../helpers/calls/call.js';
import { loadLedger } from '../../helpers/servers/ledger.js';
import type { Attempt, LoadOperation } from '../judge/history.js';
import { steadyMs } from '../server/journal.js';
import { ATTEMPT_HEADER, CALLER_HEADER } from '../server/settings.js';

const { Append, Transfer, Close } = loadLedger();
const reconnecting = { 'grpc.initial_reconnect_backoff_ms': 50, 'grpc.max_reconnect_backoff_ms': 300 };

/** Makes calls to the servers and keeps the history of all attempts. */
export class Caller {
  readonly attempts: Attempt[] = [];
  readonly #connections: readonly Connection[];
  readonly #firstSent = new Map<LoadOperation, string>();

  constructor(addresses: readonly string[]) {
    this.#connections = addresses.map(
      (address) => new Connection(address, credentials.createInsecure(), reconnecting),
    );
  }

  get servers(): number {
    return this.#connections.length;
  }

  /** Makes one call. Never rejects. */
  async call(
    operation: LoadOperation,
    server: number,
    deadlineMs: number,
    isOtherRequest = false,
  ): Promise<Attempt> {
    const id = randomUUID();
    const beganAt = steadyMs();
    const reply = await this.#send(operation, id, server, deadlineMs, isOtherRequest);
    const { code, details, replayed, statusDetails, message } = reply;
    const expiry = reply.trailers.get('idempotency-expires-at')[0];
    const attempt: Attempt = {
      ...{ id, operation, isOtherRequest, beganAt, endedAt: steadyMs(), code, details, replayed },
      reason: statusDetails?.errorInfo?.reason ?? '',
      bytes: reply.bytes?.toString('hex') ?? '',
      execution: message?.entryId || message?.transferId || '',
      expiresAtMs: expiry === undefined ? undefined : Date.parse(String(expiry)),
    };
    this.attempts.push(attempt);
    return attempt;
  }

  close(): void {
    for (const connection of this.#connections) connection.close();
  }

  #send(
    operation: LoadOperation,
    id: string,
    server: number,
    deadlineMs: number,
    isOtherRequest: boolean,
  ): Promise<Reply<{ entryId?: string; transferId?: string }>> {
    const { scope, method, name } = operation;
    const connection = this.#connections[server % this.#connections.length] as Connection;
    const account = isOtherRequest ? `${operation.account} of another request` : operation.account;
    const metadata: Record<string, string> = { [CALLER_HEADER]: scope, [ATTEMPT_HEADER]: id };
    if ('producer' in name) {
      metadata['idempotency-producer'] = name.producer;
      metadata['idempotency-sequence'] = String(name.sequence);
    }
    // A key with a short retention may expire before its outcome is known. The server then refuses its retry.
    if (method === 'close') metadata['idempotency-first-sent'] = this.#firstSentOf(operation);
    const settings = { metadata, deadlineMs, ...('key' in name && { key: name.key }) };
    if (method === 'append') return connection.call(Append, { account }, settings);
    if (method === 'transfer') return connection.call(Transfer, { from: account }, settings);
    return connection.call(Close, { account }, settings) as Promise<Reply<object>>;
  }

  #firstSentOf(operation: LoadOperation): string {
    const known = this.#firstSent.get(operation) ?? new Date().toISOString();
    this.#firstSent.set(operation, known);
    return known;
  }
}
