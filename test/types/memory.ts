import { MemoryStore, type MemoryStoreOptions } from 'grpc-replay-guard/memory';
import type { IdempotencyStore } from 'grpc-replay-guard/store';
import { expectType } from './expect-type.js';

const store: IdempotencyStore = new MemoryStore();
expectType<IdempotencyStore>()(store);
new MemoryStore({ clock: () => 0 });
// @ts-expect-error a clock returns milliseconds
new MemoryStore({ clock: () => new Date() });
// @ts-expect-error an unknown option
new MemoryStore({ path: 'a.db' });
const options: MemoryStoreOptions = { clock: Date.now };
// @ts-expect-error options are readonly
options.clock = Date.now;
