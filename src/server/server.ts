import { Server, type ServerCredentials, type ServerInterceptor, type ServerOptions } from '@grpc/grpc-js';
import { ConfigError } from '../config/config.js';
import { type Address, formatAddress } from '../config/settings.js';

const MINUTE_MS = 60_000;

/** grpc-js sets no limits of its own: without these one caller could take all memory, or hold a socket for ever. */
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

/** A server with limits set, not listening yet. The first interceptor is the nearest to the wire. */
export function createServer(interceptors: ServerInterceptor[]): Server {
  return new Server({ ...LIMITS, interceptors });
}

/**
 * Starts to listen; resolves with the port that was taken.
 * @throws ConfigError the address cannot be taken
 */
export function listen(server: Server, address: Address, credentials: ServerCredentials): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(formatAddress(address), credentials, (error, port) => {
      if (error) reject(new ConfigError('GRPC_ADDRESS', error.message));
      else resolve(port);
    });
  });
}

/**
 * Refuses new calls and waits for the running ones, at most for the grace time; then cuts them off.
 * @param address what the server listens on, with the port that was taken
 */
export function drain(server: Server, address: Address, graceMs: number): Promise<void> {
  // Not `forceShutdown`: without channelz it knows no connections, so it would cut nothing off.
  server.drain(formatAddress(address), graceMs);
  return new Promise((resolve) => server.tryShutdown(() => resolve()));
}
