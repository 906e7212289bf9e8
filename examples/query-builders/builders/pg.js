import { createPgPool } from 'grpc-replay-guard/pg';

export function connect(database) {
  const pool = createPgPool(database);
  return {
    async charge({ id, account, amount }) {
      await pool.query('INSERT INTO payments VALUES ($1, $2, $3)', [id, account, amount]);
      const counted =
        'INSERT INTO accounts VALUES ($1, 1) ON CONFLICT (name) DO UPDATE SET payments = accounts.payments + 1';
      await pool.query(counted, [account]);
    },
    async paymentsOf(account) {
      const { rows } = await pool.query('SELECT id FROM payments WHERE account = $1', [account]);
      return rows.map(({ id }) => id);
    },
  };
}
