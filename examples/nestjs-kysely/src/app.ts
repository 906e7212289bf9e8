import { Module, type OnApplicationShutdown } from '@nestjs/common';
import { singleTenant } from 'grpc-replay-guard';
import { createLogObserver } from 'grpc-replay-guard/logging';
import { createNestLogger, ReplayGuardModule } from 'grpc-replay-guard/nestjs';
import { createOpenTelemetryObserver, createOpenTelemetryTracing } from 'grpc-replay-guard/opentelemetry';
import { openPostgres } from 'grpc-replay-guard/postgres';
import { databaseProvider } from './database.js';
import { PaymentService } from './payments.js';
import { sdk } from './tracing.js';

const connectionString = process.env.DATABASE_URL ?? '';
const guard = ReplayGuardModule.forRoot({
  open: () => openPostgres({ connectionString, pooler: 'transaction', schema: 'guard', migrate: false }),
  scope: singleTenant(),
  policies: { '/payments.v1.PaymentService/Capture': { keyField: 'payment_id' } },
  tracing: createOpenTelemetryTracing(),
  observer: [createOpenTelemetryObserver(), createLogObserver({ logger: createNestLogger() })],
});

@Module({ imports: [guard], controllers: [PaymentService], providers: [databaseProvider] })
export class App implements OnApplicationShutdown {
  onApplicationShutdown() {
    return sdk.shutdown();
  }
}
