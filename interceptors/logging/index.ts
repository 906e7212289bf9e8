export type {
  Failure,
  FailureLog,
  LineLogger,
  LogOptions,
  Severity,
  WriteLine,
} from '../log-observer/failure-log.js';
export { createLogObserver, type LogObserver } from '../log-observer/log-observer.js';
export { type DescribedError, describeError } from './describe-error.js';
export { createGrpcLogger, type GrpcLogger, type GrpcLogLevel } from './grpc-logger.js';
