// Registered symbols are equal in all copies of the library, for example in its two module formats.

/** The injection token of the guard, a `ReplayGuard`. */
export const REPLAY_GUARD: unique symbol = Symbol.for('grpc-replay-guard/nestjs/guard');

/** The injection token of the database handle, a `Database`. Writes through it commit together with the reply. */
export const REPLAY_GUARD_DATABASE: unique symbol = Symbol.for('grpc-replay-guard/nestjs/database');

/** The injection token of the open store, an `OpenStore`. Its `ping` tells whether the server is ready. */
export const REPLAY_GUARD_STORE: unique symbol = Symbol.for('grpc-replay-guard/nestjs/store');
