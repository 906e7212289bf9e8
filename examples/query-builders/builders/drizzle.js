import { eq, sql } from 'drizzle-orm';
import { bigint, pgTable, text } from 'drizzle-orm/pg-core';
import { createDrizzlePostgres } from 'grpc-replay-guard/drizzle';

const number = { mode: 'number' };
const payments = pgTable('payments', { id: text(), account: text(), amount: bigint(number) });
const accounts = pgTable('accounts', { name: text(), payments: bigint(number) });

export function connect(database) {
  const db = createDrizzlePostgres(database, { schema: { payments, accounts } });
  return {
    async charge({ id, account, amount }) {
      await db.insert(payments).values({ id, account, amount });
      await db
        .insert(accounts)
        .values({ name: account, payments: 1 })
        .onConflictDoUpdate({ target: accounts.name, set: { payments: sql`${accounts.payments} + 1` } });
    },
    async paymentsOf(account) {
      const rows = await db.select({ id: payments.id }).from(payments).where(eq(payments.account, account));
      return rows.map(({ id }) => id);
    },
  };
}
