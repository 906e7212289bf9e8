export { type DescribedError, describeError } from './describe-error.js';
export { createGrpcLogger, type GrpcLogger, type GrpcLogLevel } from './grpc-logger.js';
