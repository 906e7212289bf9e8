import { createKyselyDialect } from 'grpc-replay-guard/kysely';
import { Kysely } from 'kysely';

export function connect(database) {
  const db = new Kysely({ dialect: createKyselyDialect(database) });
  return {
    async charge({ id, account, amount }) {
      await db.insertInto('payments').values({ id, account, amount }).execute();
      await db
        .insertInto('accounts')
        .values({ name: account, payments: 1 })
        .onConflict((conflict) =>
          conflict.column('name').doUpdateSet((row) => ({ payments: row('accounts.payments', '+', 1) })),
        )
        .execute();
    },
    async paymentsOf(account) {
      const rows = await db.selectFrom('payments').select('id').where('account', '=', account).execute();
      return rows.map(({ id }) => id);
    },
  };
}
