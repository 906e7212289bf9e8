import type { ServerInterceptor } from '@grpc/grpc-js';
import type { Address } from '../config/settings.js';
import type { Closers } from '../platform/closers.js';
import type { Hosted } from '../services.js';
import { serverCredentials, type TlsFiles } from './credentials.js';
import { addHealth, type Health } from './health.js';
import type { OwnCalls } from './own-calls.js';
import { addReflection } from './reflection.js';
import { createServer, drain, listen } from './server.js';

/** What every gRPC listener of this process has in common. */
export interface ListenerOptions {
  readonly tls: TlsFiles | undefined;
  /** The first is the nearest to the wire. */
  readonly interceptors: readonly ServerInterceptor[];
  /** Who is let in by the internal listeners. */
  readonly own: OwnCalls;
  /** How long callers' running calls may take to end at the stop, in milliseconds. */
  readonly graceMs: number;
  readonly closers: Closers;
}

/** Serves the services to everybody who can reach the address, with health and reflection. */
export async function listenPublicly(
  services: readonly Hosted[],
  address: Address,
  options: ListenerOptions,
): Promise<{ address: Address; health: Health }> {
  const server = createServer([...options.interceptors]);
  const names = services.map(({ name }) => name);
  for (const { definition, handlers } of services) server.addService(definition, handlers);
  addReflection(server, names);
  const health = addHealth(server, names);
  const bound = { ...address, port: await listen(server, address, serverCredentials(options.tls)) };
  options.closers.add(() => drain(server, bound, options.graceMs));
  return { address: bound, health };
}

/**
 * Serves one service to this process itself, and to nobody else. Not through the public listener: while that one drains, calls
 * that are still running must be able to make the calls that they need.
 */
export async function listenInternally(service: Hosted, options: ListenerOptions): Promise<Address> {
  const server = createServer([options.own.inbound, ...options.interceptors]);
  server.addService(service.definition, service.handlers);
  const loopback = { host: '127.0.0.1', port: 0 };
  const bound = { ...loopback, port: await listen(server, loopback, serverCredentials(options.tls)) };
  // The calls that could need it have had their time when it closes.
  options.closers.add(() => drain(server, bound, 0));
  return bound;
}
