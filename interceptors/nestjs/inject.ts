import { Inject } from '@nestjs/common';
import { REPLAY_GUARD, REPLAY_GUARD_DATABASE, REPLAY_GUARD_STORE } from './tokens.js';

/** A decorator for a property or for a parameter of a constructor. */
type InjectDecorator = PropertyDecorator & ParameterDecorator;

/** Injects the database handle, a `Database`. Writes of a guarded call through it commit together with its reply. */
export const InjectDatabase = (): InjectDecorator => Inject(REPLAY_GUARD_DATABASE);

/** Injects the guard, a `ReplayGuard`, for example to change modes or to erase a scope. */
export const InjectReplayGuard = (): InjectDecorator => Inject(REPLAY_GUARD);

/** Injects the open store, an `OpenStore`, for example for a health check with `ping`. The module closes the store. */
export const InjectStore = (): InjectDecorator => Inject(REPLAY_GUARD_STORE);
