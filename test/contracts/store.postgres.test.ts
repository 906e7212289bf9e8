import test from 'ava';
import { freshData } from '../helpers/engines.js';
import { storeContract } from './store.js';

// Time is the database's own, so it is the records that age.
const aging = `UPDATE replay_guard_records SET created_at = created_at - CAST($1 AS BIGINT),
  lease_until = lease_until - CAST($1 AS BIGINT), expires_at = expires_at - CAST($1 AS BIGINT)`;

storeContract(test, 'postgres', async (t) => {
  const data = await freshData(t, 'postgres');
  const { store, database } = await data.open({ unitLimitMs: 60_000, maxConnections: 10 });
  const { store: other } = await data.open({ unitLimitMs: 60_000, maxConnections: 2 });
  return {
    store,
    other,
    advance: async (ms) => {
      await database.query(aging, [ms]);
    },
  };
});
