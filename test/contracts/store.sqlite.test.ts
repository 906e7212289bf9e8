import test from 'ava';
import { freshData } from '../helpers/engines.js';
import { storeContract } from './store.js';

storeContract(test, 'sqlite', async (t) => {
  let now = Date.now();
  const data = await freshData(t, 'sqlite');
  const options = { clock: () => now, unitLimitMs: 60_000 };
  const { store } = await data.open(options);
  const { store: other } = await data.open(options);
  return {
    store,
    other,
    advance: async (ms) => {
      now += ms;
    },
  };
});
