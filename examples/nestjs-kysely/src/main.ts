import { NestFactory } from '@nestjs/core';
import type { AsyncMicroserviceOptions } from '@nestjs/microservices';
import type { ReplayGuard } from 'grpc-replay-guard';
import { guardedGrpc, REPLAY_GUARD } from 'grpc-replay-guard/nestjs';
import { App } from './app.js';

const url = process.env.GRPC_ADDRESS ?? '127.0.0.1:50051';

async function main() {
  const service = await NestFactory.createMicroservice<AsyncMicroserviceOptions>(App, {
    inject: [REPLAY_GUARD],
    useFactory: (guard: ReplayGuard) => {
      const options = { url, package: 'payments.v1', protoPath: 'payments.proto', loader: { longs: String } };
      return guardedGrpc(guard, { ...options, gracefulShutdown: true });
    },
  });
  service.enableShutdownHooks(['SIGTERM'], { useProcessExit: true });
  await service.listen();
  console.log(`serving on ${url}`);
}

void main();
