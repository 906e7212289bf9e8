import test from 'ava';
import { MemoryStore } from 'grpc-replay-guard/memory';
import { storeContract } from './store.js';

storeContract(test, 'memory', async () => {
  let now = Date.now();
  const store = new MemoryStore({ clock: () => now });
  return {
    store,
    other: store,
    advance: async (ms) => {
      now += ms;
    },
  };
});
