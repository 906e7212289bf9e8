import {
  type Metadata,
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
  status,
} from '@grpc/grpc-js';
import type { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { SharedMetrics, startAtZero } from '../options/shared-metrics.js';
import { forEachCall } from './call/base-call.js';
import type { PartialStatusObject } from './call/reply-capture.js';
import { type AnyServiceDefinition, mapService } from './method/service-definition.js';
import type { ObservedMethod } from './observer.js';

/** The buckets of the duration of calls, in seconds. */
const BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** The metrics of a gRPC server. */
export interface ServerMetrics {
  /**
   * The interceptor that counts the calls. It may have any place among the interceptors of the server: it also counts
   * the calls that an earlier interceptor refuses.
   */
  readonly interceptor: ServerInterceptor;
  /** Starts the counters of the methods of a service at 0. Returns the definition unchanged. */
  count<T extends AnyServiceDefinition>(definition: T): T;
}

/**
 * Creates an interceptor that counts the calls of a gRPC server, of all methods and with every status, in a prom-client
 * registry. The names of the metrics begin with `replay_guard_server_`. The servers of one registry are counted together.
 * @throws Error when the registry has a metric of the application with one of these names
 */
export function createServerMetrics(register: Registry): ServerMetrics {
  const recorder = new CallRecorder(register);
  return {
    interceptor: ({ path }, call) => new CountedCall(call, methodAt(path), recorder),
    count: (definition) => {
      mapService(definition, (service) => {
        for (const { path } of Object.values(service)) recorder.startAtZero(methodAt(path));
        return service;
      });
      return definition;
    },
  };
}

const byMethod = ['service', 'method'] as const;

class CallRecorder {
  readonly #ended: Counter<'service' | 'method' | 'code'>;
  readonly #seconds: Histogram<'service' | 'method'>;
  readonly #running: Gauge<'service' | 'method'>;

  constructor(register: Registry) {
    const metrics = new SharedMetrics(register);
    const name = (ending: string) => `replay_guard_server_${ending}`;
    this.#ended = metrics.counter(name('calls_total'), 'Ended calls by status code', [...byMethod, 'code']);
    this.#running = metrics.gauge(name('running_calls'), 'Calls without a status so far', byMethod);
    const help = 'Duration of calls from their metadata to their status';
    this.#seconds = metrics.histogram(name('call_duration_seconds'), help, byMethod, BUCKETS);
  }

  startAtZero(method: ObservedMethod): void {
    for (const code of Object.keys(status).filter((name) => Number.isNaN(Number(name))))
      startAtZero(this.#ended, { ...method, code });
    for (const metric of [this.#seconds, this.#running]) startAtZero(metric, { ...method });
  }

  started(method: ObservedMethod): void {
    this.#running.inc({ ...method });
  }

  ended(method: ObservedMethod, code: number, seconds: number): void {
    this.#running.dec({ ...method });
    this.#ended.inc({ ...method, code: status[code] ?? 'UNKNOWN' });
    this.#seconds.observe({ ...method }, seconds);
  }
}

/** grpc-js looks a method up before it runs the interceptors, so the number of paths is bounded. */
function methodAt(path: string): ObservedMethod {
  const [, service = '', method = ''] = path.split('/');
  return { service, method };
}

/** A call that is counted once, at its first status or when its client disconnects. */
class CountedCall extends ServerInterceptingCall {
  readonly #wire: ServerInterceptingCallInterface;
  readonly #method: ObservedMethod;
  readonly #recorder: CallRecorder;
  readonly #startedAt = performance.now();
  #isEnded = false;

  constructor(wire: ServerInterceptingCallInterface, method: ObservedMethod, recorder: CallRecorder) {
    super(wire);
    this.#wire = wire;
    this.#method = method;
    this.#recorder = recorder;
    recorder.started(method);
    onStatusOfServer(wire, (code) => this.#end(code));
  }

  override start(listener: Parameters<ServerInterceptingCallInterface['start']>[0]): void {
    this.#wire.start({
      onReceiveMetadata: (metadata: Metadata) => listener.onReceiveMetadata(metadata),
      onReceiveMessage: (message: unknown) => listener.onReceiveMessage(message),
      onReceiveHalfClose: () => listener.onReceiveHalfClose(),
      onCancel: () => {
        // grpc-js also cancels a call after its status.
        this.#end(Number(this.getDeadline()) <= Date.now() ? status.DEADLINE_EXCEEDED : status.CANCELLED);
        listener.onCancel();
      },
    });
  }

  override sendStatus(end: PartialStatusObject): void {
    this.#end(end.code ?? status.OK);
    super.sendStatus(end);
  }

  #end(code: number): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#recorder.ended(this.#method, code, (performance.now() - this.#startedAt) / 1_000);
  }
}

/**
 * Receives the status codes that do not pass this interceptor. Interceptors nearer to the wire set such codes. So does
 * grpc-js, for example at the deadline or for a message that is too large.
 */
function onStatusOfServer(wire: ServerInterceptingCallInterface, onStatus: (code: number) => void): void {
  let base: ServerInterceptingCallInterface | undefined;
  forEachCall(wire, (call) => {
    base = call as ServerInterceptingCallInterface;
  });
  if (!base) return;
  const { sendStatus } = base;
  base.sendStatus = function (end: PartialStatusObject) {
    onStatus(end.code ?? status.OK);
    sendStatus.call(this, end);
  };
}
