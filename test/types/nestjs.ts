import type { DynamicModule } from '@nestjs/common';
import type { CustomStrategy } from '@nestjs/microservices';
import { type ReplayGuard, singleTenant } from 'grpc-replay-guard';
import { createLogObserver } from 'grpc-replay-guard/logging';
import {
  createNestLogger,
  guardedGrpc,
  InjectDatabase,
  REPLAY_GUARD,
  REPLAY_GUARD_DATABASE,
  ReplayGuardModule,
  type ReplayGuardModuleOptions,
} from 'grpc-replay-guard/nestjs';
import { openSqlite } from 'grpc-replay-guard/sqlite';
import { expectType } from './expect-type.js';

const scope = singleTenant();
const open = () => openSqlite({ path: 'data/app.db' });

expectType<DynamicModule>()(
  ReplayGuardModule.forRoot({ open, scope, retentionMs: 1_000, closeTimeoutMs: 1 }),
);
// @ts-expect-error the store is opened by the module
ReplayGuardModule.forRoot({ store: await open(), scope });
// @ts-expect-error the scope is missing
ReplayGuardModule.forRoot({ open });
// @ts-expect-error an unknown option
ReplayGuardModule.forRoot({ open, scope, retention: 1_000 });
// @ts-expect-error the store has no database
ReplayGuardModule.forRoot({ open: async () => ({ store: (await open()).store }), scope });

createLogObserver({ logger: createNestLogger() });

const useFactory = (path: string) => ({ open: () => openSqlite({ path }), scope });
expectType<DynamicModule>()(ReplayGuardModule.forRootAsync({ inject: ['path'], useFactory }));
ReplayGuardModule.forRootAsync({ useFactory: async () => ({ open, scope }) });
// @ts-expect-error the scope is missing
ReplayGuardModule.forRootAsync({ useFactory: () => ({ open }) });

declare const guard: ReplayGuard;
expectType<CustomStrategy>()(guardedGrpc(guard, { package: 'shop.v1', protoPath: 'shop.proto' }));
// @ts-expect-error the package is missing
guardedGrpc(guard, { protoPath: 'shop.proto' });
// @ts-expect-error the options of the transport, not the transport
guardedGrpc(guard, { transport: 4, options: { package: 'shop.v1' } });

expectType<PropertyDecorator & ParameterDecorator>()(InjectDatabase());
expectType<symbol>()(REPLAY_GUARD as symbol);
// @ts-expect-error two tokens differ
expectType<typeof REPLAY_GUARD>()(REPLAY_GUARD_DATABASE);
const options: ReplayGuardModuleOptions = { open, scope };
// @ts-expect-error options are readonly
options.closeTimeoutMs = 1;
