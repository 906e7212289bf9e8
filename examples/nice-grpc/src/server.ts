import { randomUUID } from 'node:crypto';
import { createReplayGuard, singleTenant } from 'grpc-replay-guard';
import { openSqlite } from 'grpc-replay-guard/sqlite';
import { createServer } from 'nice-grpc';
import { PaymentsDefinition, type PaymentsServiceImplementation } from './gen/payments.js';

const { store, database, close } = await openSqlite({ path: 'data/payments.db' });
await database.migrate('payments', ['CREATE TABLE payments (id TEXT, account TEXT, amount BIGINT)']);

const payments: PaymentsServiceImplementation = {
  async charge({ account, amount }) {
    const paymentId = randomUUID();
    await database.query('INSERT INTO payments VALUES ($1, $2, $3)', [paymentId, account, amount]);
    return { paymentId };
  },
  async getAccount({ account }) {
    const rows = await database.query('SELECT id FROM payments WHERE account = $1', [account]);
    return { paymentIds: rows.map(({ id }) => String(id)) };
  },
};

const guard = createReplayGuard({ store, scope: singleTenant() });
// nice-grpc passes its options to the server of grpc-js.
const server = createServer({ interceptors: [guard.interceptor] });
server.add(guard.protect(PaymentsDefinition), payments);
const port = await server.listen(process.env.GRPC_ADDRESS ?? '127.0.0.1:50051');
console.log(`serving on port ${port}`);

process.once('SIGTERM', async () => {
  await server.shutdown();
  await guard.close();
  await close();
});
