import { GrpcInstrumentation } from '@opentelemetry/instrumentation-grpc';
import { PgInstrumentation } from '@opentelemetry/instrumentation-pg';
import { NodeSDK } from '@opentelemetry/sdk-node';

// The environment chooses the exporters, for example OTEL_TRACES_EXPORTER=console.
export const sdk = new NodeSDK({
  serviceName: 'payments',
  instrumentations: [new GrpcInstrumentation(), new PgInstrumentation()],
});
sdk.start();
