import type { ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js';

/** A gRPC service that this process serves, with its background work. */
export interface HostedService {
  /** The full name of the service, `package.Service`. */
  readonly name: string;
  readonly definition: ServiceDefinition;
  readonly handlers: UntypedServiceImplementation;
  readonly work: BackgroundWork;
}

/** Work that a service does besides its calls. */
export interface BackgroundWork {
  start(): void;
  /** Resolves when the current run has ended. */
  stop(): Promise<void>;
}
