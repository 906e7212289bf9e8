import {
  type ChannelCredentials,
  credentials,
  Server,
  ServerCredentials,
  type ServerInterceptor,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { Connection } from '../calls/call.js';
import type { Cleanup } from '../databases/postgres.js';

export interface ServerSetup {
  readonly interceptors?: ServerInterceptor[];
  /** Pairs of what `guard.protect` gave, or a plain definition, and its handlers. */
  readonly services: readonly (readonly [ServiceDefinition, UntypedServiceImplementation])[];
  /** Plaintext where left out. */
  readonly credentials?: ServerCredentials;
}

export interface TestServer {
  readonly server: Server;
  /** `127.0.0.1:port`. */
  readonly address: string;
  /** A client on a TCP connection of its own. */
  connect(credentials?: ChannelCredentials): Connection;
  connectMany(count: number): Connection[];
  /** Cuts every connection and stops; calls that are running get no answer. */
  kill(): void;
}

/** Starts a gRPC server in this process on a free port; stopped after the test. */
export async function startServer(t: Cleanup, setup: ServerSetup): Promise<TestServer> {
  const server = new Server({ interceptors: setup.interceptors ?? [] });
  for (const [definition, handlers] of setup.services) server.addService(definition, handlers);
  const address = `127.0.0.1:${await bind(server, setup.credentials)}`;
  t.teardown(() => server.forceShutdown());
  // Certificates name a host: an address of digits would not do.
  const byName = address.replace('127.0.0.1', 'localhost');
  const connect = (creds?: ChannelCredentials) => connectTo(t, creds ? byName : address, creds);
  return {
    server,
    address,
    connect,
    connectMany: (count) => Array.from({ length: count }, () => connect()),
    kill: () => server.forceShutdown(),
  };
}

/** A client on a TCP connection of its own to a server anywhere; closed after the test. */
export function connectTo(
  t: Cleanup,
  address: string,
  creds: ChannelCredentials = credentials.createInsecure(),
): Connection {
  const connection = new Connection(address, creds);
  t.teardown(() => connection.close());
  return connection;
}

function bind(server: Server, creds = ServerCredentials.createInsecure()): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', creds, (error, port) => (error ? reject(error) : resolve(port)));
  });
}
