import type { ServerInterceptor } from '@grpc/grpc-js';
import type { Address } from '../config/address.js';
import { ConfigError } from '../config/config.js';
import type { Closers } from '../platform/closers.js';
import { internalServerCredentials, serverCredentials } from './credentials.js';
import { addHealth, type Health } from './health.js';
import type { HostedService } from './hosted-service.js';
import type { InternalCalls } from './internal-calls.js';
import { addReflection } from './reflection.js';
import { createServer, drain, listen } from './server.js';
import type { TlsFiles } from './tls-files.js';

/** The options that all gRPC listeners of this process share. */
export interface ListenerOptions {
  readonly tls: TlsFiles | undefined;
  /** The first interceptor is nearest to the wire. */
  readonly interceptors: readonly ServerInterceptor[];
  readonly internalCalls: InternalCalls;
  /** How long running calls may continue after the stop of the public listener, in milliseconds. */
  readonly graceMs: number;
  readonly closers: Closers;
}

/**
 * Serves the services, health and reflection at the address of GRPC_ADDRESS.
 * @throws ConfigError naming GRPC_ADDRESS when the address cannot be bound
 */
export async function listenPublicly(
  services: readonly HostedService[],
  address: Address,
  options: ListenerOptions,
): Promise<{ address: Address; health: Health }> {
  const server = createServer(options.interceptors);
  const names = services.map(({ name }) => name);
  for (const { definition, handlers } of services) server.addService(definition, handlers);
  addReflection(server, names);
  const health = addHealth(server, names);
  const port = await listen(server, address, serverCredentials(options.tls)).catch((error: Error) => {
    throw new ConfigError('GRPC_ADDRESS', error.message);
  });
  const bound = { ...address, port };
  options.closers.add(() => drain(server, bound, options.graceMs));
  return { address: bound, health };
}

const ANY_LOOPBACK_PORT: Address = { host: '127.0.0.1', port: 0 };

/**
 * Serves one service to this process only. Running calls can still make internal calls while the public listener
 * drains.
 * @param address a loopback address. Default: any free port of 127.0.0.1
 * @throws Error when the address cannot be bound; no setting is the cause
 */
export async function listenInternally(
  service: HostedService,
  options: ListenerOptions,
  address = ANY_LOOPBACK_PORT,
): Promise<Address> {
  const server = createServer([options.internalCalls.inbound, ...options.interceptors]);
  server.addService(service.definition, service.handlers);
  const port = await listen(server, address, internalServerCredentials(options.tls)).catch((error: Error) => {
    throw new Error(`the internal listener could not be bound: ${error.message}`, { cause: error });
  });
  const bound = { ...address, port };
  // The public listener closes first and waits for the calls that need this one. No grace time is necessary.
  options.closers.add(() => drain(server, bound, 0));
  return bound;
}
