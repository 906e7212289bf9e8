import { fileURLToPath } from 'node:url';
import type { DynamicModule } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { type GrpcOptions, Transport } from '@nestjs/microservices';
import { createReplayGuard, singleTenant } from 'grpc-replay-guard';
import { openPostgres } from 'grpc-replay-guard/postgres';
import { DATABASE, Payments } from './payments.js';

const { store, database, close } = await openPostgres({
  connectionString: process.env.DATABASE_URL ?? 'postgres://postgres@127.0.0.1:5432/payments',
});
await database.migrate('payments', ['CREATE TABLE payments (id TEXT, account TEXT, amount BIGINT)']);

// The .proto declares the policies by an option of the library. The loader needs the file of this option.
const option = import.meta.resolve('grpc-replay-guard/proto/replayguard/v1/policy.proto');

const guard = createReplayGuard({ store, scope: singleTenant() });
const app: DynamicModule = {
  module: class App {},
  controllers: [Payments],
  providers: [{ provide: DATABASE, useValue: database }],
};
const url = process.env.GRPC_ADDRESS ?? '127.0.0.1:50051';
const service = await NestFactory.createMicroservice<GrpcOptions>(app, {
  transport: Transport.GRPC,
  options: {
    url,
    package: 'example.v1',
    protoPath: 'payments.proto',
    loader: { includeDirs: ['.', fileURLToPath(new URL('../..', option))] },
    // NestJS passes these options to the server of grpc-js.
    channelOptions: { interceptors: [guard.interceptor] },
    onLoadPackageDefinition: (loaded) => {
      loaded['example.v1.Payments'] = guard.protect(loaded['example.v1.Payments']);
    },
    gracefulShutdown: true,
  },
});
await service.listen();
console.log(`serving on ${url}`);

process.once('SIGTERM', async () => {
  await service.close();
  await guard.close();
  await close();
});
