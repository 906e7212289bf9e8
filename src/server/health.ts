import type { Server, ServerWritableStream, UntypedServiceImplementation } from '@grpc/grpc-js';
import { HealthImplementation } from 'grpc-health-check';

/** The standard gRPC health service of this server. */
export interface Health {
  /** Reports SERVING or NOT_SERVING for every service. Has no effect after a stop. */
  report(isServing: boolean): void;
  /** Reports NOT_SERVING and ends the Watch streams, which would delay a stop. */
  stop(): void;
}

type Watcher = ServerWritableStream<unknown, unknown>;

/**
 * Adds the health service. It has a status for each service, and for the whole server under the name ''. Each starts as
 * SERVING.
 * @param services the full names of the hosted services
 */
export function addHealth(server: Server, services: readonly string[]): Health {
  const names = ['', ...services];
  const health = new HealthImplementation(Object.fromEntries(names.map((name) => [name, 'SERVING'])));
  const watchers = new Set<Watcher>();
  health.addToServer({
    addService: (definition, handlers) =>
      server.addService(definition, trackWatchers(handlers as UntypedServiceImplementation, watchers)),
  });
  let isStopped = false;
  const report = (isServing: boolean) => {
    for (const name of names) health.setStatus(name, isServing ? 'SERVING' : 'NOT_SERVING');
  };
  return {
    report(isServing) {
      if (!isStopped) report(isServing);
    },
    stop() {
      isStopped = true;
      report(false);
      for (const watcher of watchers) watcher.end();
    },
  };
}

function trackWatchers(
  handlers: UntypedServiceImplementation,
  watchers: Set<Watcher>,
): UntypedServiceImplementation {
  const watch = handlers.watch as (call: Watcher) => void;
  return {
    ...handlers,
    watch: (call: Watcher) => {
      watchers.add(call);
      // grpc-js emits 'cancelled' at every end of a call.
      call.once('cancelled', () => watchers.delete(call));
      watch(call);
    },
  };
}
