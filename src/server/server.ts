import { Server, type ServerCredentials, type ServerInterceptor, type ServerOptions } from '@grpc/grpc-js';
import { type Address, formatAddress } from '../config/address.js';
import { createRequestLimit } from './request-limit.js';

const MINUTE_MS = 60_000;

/**
 * grpc-js has no limits by default: one caller could use all memory, or keep a socket open without end. The keepalive
 * also ends connections that never speak HTTP/2.
 */
const LIMITS: ServerOptions = {
  'grpc.max_receive_message_length': 4 * 1024 * 1024,
  'grpc.max_send_message_length': 4 * 1024 * 1024,
  'grpc.max_concurrent_streams': 1_000,
  'grpc.keepalive_time_ms': MINUTE_MS,
  'grpc.keepalive_timeout_ms': 20_000,
  'grpc.max_connection_idle_ms': 15 * MINUTE_MS,
  'grpc.max_connection_age_ms': 30 * MINUTE_MS,
  'grpc.max_connection_age_grace_ms': MINUTE_MS,
  'grpc.enable_channelz': 0,
};

/** Changes of the limits of a server. */
export interface ChangedLimits {
  readonly options?: ServerOptions;
  /** How long the one request of a call may take to arrive, in milliseconds. */
  readonly requestMs?: number;
}

/**
 * Makes a server with limits. It does not listen yet.
 * @param interceptors the first is nearest to the wire, behind the limits
 */
export function createServer(
  interceptors: readonly ServerInterceptor[],
  { options, requestMs }: ChangedLimits = {},
): Server {
  const limited = [createRequestLimit(requestMs), ...interceptors];
  return new Server({ ...LIMITS, ...options, interceptors: limited });
}

/**
 * Starts to listen. Resolves to the bound port.
 * @throws Error when the address cannot be bound; the error names no setting
 */
export function listen(server: Server, address: Address, credentials: ServerCredentials): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(formatAddress(address), credentials, (error, port) => {
      if (error) reject(error);
      else resolve(port);
    });
  });
}

/**
 * Refuses new calls and waits for the running calls. Resolves when they have ended. After the grace time it closes
 * their connections.
 * @param address the address of the listener, with the bound port
 * @param graceMs the grace time, in milliseconds
 */
export function drain(server: Server, address: Address, graceMs: number): Promise<void> {
  // `forceShutdown` would close no connection: it finds connections by channelz, which is off.
  server.drain(formatAddress(address), graceMs);
  return new Promise((resolve) => server.tryShutdown(() => resolve()));
}
