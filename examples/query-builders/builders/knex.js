import { createKnexClient } from 'grpc-replay-guard/knex';
import knex from 'knex';

export function connect(database) {
  const db = knex({ client: createKnexClient(database) });
  return {
    async charge({ id, account, amount }) {
      await db('payments').insert({ id, account, amount });
      await db('accounts')
        .insert({ name: account, payments: 1 })
        .onConflict('name')
        .merge({ payments: db.raw('accounts.payments + 1') });
    },
    paymentsOf: (account) => db('payments').where({ account }).pluck('id'),
  };
}
