import { createMemoryStore, type MemoryStoreOptions } from 'grpc-replay-guard/memory';
import type { IdempotencyStore } from 'grpc-replay-guard/store';
import { expectType } from './expect-type.js';

const store: IdempotencyStore = createMemoryStore();
expectType<IdempotencyStore>()(store);
createMemoryStore({ clock: () => 0 });
// @ts-expect-error a clock returns milliseconds
createMemoryStore({ clock: () => new Date() });
// @ts-expect-error an unknown option
createMemoryStore({ path: 'a.db' });
const options: MemoryStoreOptions = { clock: Date.now };
// @ts-expect-error options are readonly
options.clock = Date.now;
