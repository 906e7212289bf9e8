export { type GuardedGrpcOptions, guardedGrpc } from './guarded-grpc.js';
export { InjectDatabase, InjectReplayGuard, InjectStore } from './inject.js';
export { createNestLogger, type NestLineLogger } from './logger.js';
export {
  ReplayGuardModule,
  type ReplayGuardModuleAsyncOptions,
  type ReplayGuardModuleOptions,
} from './module.js';
export { REPLAY_GUARD, REPLAY_GUARD_DATABASE, REPLAY_GUARD_STORE } from './tokens.js';
