import { register } from 'node:module';
import { PgInstrumentation } from '@opentelemetry/instrumentation-pg';
import { NodeSDK } from '@opentelemetry/sdk-node';

// Instrumentations need this hook to see the packages that ES modules import.
register('@opentelemetry/instrumentation/hook.mjs', import.meta.url);

// The SDK reads the variables of OpenTelemetry, such as OTEL_SERVICE_NAME and OTEL_EXPORTER_OTLP_ENDPOINT.
const sdk = new NodeSDK({
  // Without `requireParentSpan`, each statement of the relay and of the pruners would have a trace of its own.
  instrumentations: [new PgInstrumentation({ requireParentSpan: true })],
});
sdk.start();

// The server closes first, so that the spans of the calls which end during the stop are exported, too.
process.once('beforeExit', () => sdk.shutdown());
