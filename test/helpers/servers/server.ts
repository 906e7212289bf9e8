import {
  type ChannelCredentials,
  type ClientOptions,
  credentials,
  Server,
  ServerCredentials,
  type ServerInterceptor,
  type ServerOptions,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { Connection } from '../calls/call.js';
import type { Cleanup } from '../databases/postgres.js';

/** The services of a test server and its credentials. */
export interface ServerSetup {
  readonly interceptors?: ServerInterceptor[];
  /** Pairs of a definition and its handlers. The definition may be the result of `guard.protect`. */
  readonly services: readonly (readonly [ServiceDefinition, UntypedServiceImplementation])[];
  /** Default: plaintext. */
  readonly credentials?: ServerCredentials;
  /** More options of the server, such as its limits. */
  readonly options?: ServerOptions;
}

/** A gRPC server that runs in the process of the test. */
export interface TestServer {
  readonly server: Server;
  /** `127.0.0.1:port`. */
  readonly address: string;
  /** Opens a client with a TCP connection of its own. */
  connect(credentials?: ChannelCredentials): Connection;
  /** Opens `count` clients, each with a TCP connection of its own. */
  connectMany(count: number): Connection[];
  /** Cuts every connection and stops. Running calls get no reply. */
  kill(): void;
}

/** Starts a gRPC server in this process on a free port. The server stops after the test. */
export async function startServer(t: Cleanup, setup: ServerSetup): Promise<TestServer> {
  const server = new Server({ ...setup.options, interceptors: setup.interceptors ?? [] });
  for (const [definition, handlers] of setup.services) server.addService(definition, handlers);
  const address = `127.0.0.1:${await bind(server, setup.credentials)}`;
  t.teardown(() => server.forceShutdown());
  // The test certificates are issued to a host name, so TLS clients must connect by name.
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

/** Opens a client with a TCP connection of its own to any address. The client closes after the test. */
export function connectTo(
  t: Cleanup,
  address: string,
  creds: ChannelCredentials = credentials.createInsecure(),
  options: ClientOptions = {},
): Connection {
  const connection = new Connection(address, creds, options);
  t.teardown(() => connection.close());
  return connection;
}

function bind(server: Server, creds = ServerCredentials.createInsecure()): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', creds, (error, port) => (error ? reject(error) : resolve(port)));
  });
}
