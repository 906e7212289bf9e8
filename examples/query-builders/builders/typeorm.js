import { createPgDriver, createPgPool } from 'grpc-replay-guard/pg';
import { DataSource, EntitySchema } from 'typeorm';

const text = { type: 'text' };
const Payment = new EntitySchema({
  name: 'payments',
  columns: { id: { ...text, primary: true }, account: text, amount: { type: 'bigint' } },
});
const Account = new EntitySchema({
  name: 'accounts',
  columns: { name: { ...text, primary: true }, payments: { type: 'bigint' } },
});

export async function connect(database) {
  const driver = createPgDriver(createPgPool(database));
  const source = new DataSource({ type: 'postgres', driver, entities: [Payment, Account] });
  await source.initialize();
  return {
    charge: ({ id, account, amount }) =>
      source.transaction(async (manager) => {
        await manager.insert(Payment, { id, account, amount });
        await manager
          .createQueryBuilder()
          .insert()
          .into(Account)
          .values({ name: account, payments: 0 })
          .orIgnore()
          .execute();
        await manager.increment(Account, { name: account }, 'payments', 1);
      }),
    async paymentsOf(account) {
      const payments = await source.getRepository(Payment).findBy({ account });
      return payments.map(({ id }) => id);
    },
  };
}
