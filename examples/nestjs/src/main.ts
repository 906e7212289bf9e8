import { fileURLToPath } from 'node:url';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { AsyncMicroserviceOptions } from '@nestjs/microservices';
import { type ReplayGuard, singleTenant } from 'grpc-replay-guard';
import { guardedGrpc, REPLAY_GUARD, ReplayGuardModule } from 'grpc-replay-guard/nestjs';
import { openPostgres } from 'grpc-replay-guard/postgres';
import { Payments } from './payments.js';

const connectionString = process.env.DATABASE_URL ?? 'postgres://postgres@127.0.0.1:5432/payments';
const url = process.env.GRPC_ADDRESS ?? '127.0.0.1:50051';

@Module({
  imports: [
    ReplayGuardModule.forRoot({ open: () => openPostgres({ connectionString }), scope: singleTenant() }),
  ],
  controllers: [Payments],
})
class App {}

// The .proto declares the policies by an option of the library. The loader needs the file of this option.
const option = import.meta.resolve('grpc-replay-guard/proto/replayguard/v1/policy.proto');

const service = await NestFactory.createMicroservice<AsyncMicroserviceOptions>(App, {
  inject: [REPLAY_GUARD],
  useFactory: (guard: ReplayGuard) =>
    guardedGrpc(guard, {
      url,
      package: 'example.v1',
      protoPath: 'payments.proto',
      loader: { includeDirs: ['.', fileURLToPath(new URL('../..', option))] },
      gracefulShutdown: true,
    }),
});
// At SIGTERM the running calls end first, then the guard and the database close.
service.enableShutdownHooks(['SIGTERM'], { useProcessExit: true });
await service.listen();
console.log(`serving on ${url}`);
