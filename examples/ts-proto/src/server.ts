import { randomUUID } from 'node:crypto';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { createReplayGuard, type MethodPolicy, singleTenant } from 'grpc-replay-guard';
import { openPostgres } from 'grpc-replay-guard/postgres';
import { type PaymentsServer, PaymentsService } from './gen/payments';

// The generated definitions do not have the options of the .proto, so the code declares the policies.
const policies: Record<string, Partial<MethodPolicy>> = {
  [PaymentsService.charge.path]: { retentionMs: 48 * 60 * 60 * 1_000 },
  [PaymentsService.getAccount.path]: { mode: 'OFF' },
};

async function main(connectionString: string, address: string) {
  const { store, database, close } = await openPostgres({ connectionString });
  await database.migrate('payments', ['CREATE TABLE payments (id TEXT, account TEXT, amount BIGINT)']);

  const payments: PaymentsServer = {
    async charge({ request: { account, amount } }, callback) {
      const paymentId = randomUUID();
      await database.query('INSERT INTO payments VALUES ($1, $2, $3)', [paymentId, account, amount]);
      callback(null, { paymentId });
    },
    getAccount({ request: { account } }, callback) {
      database
        .query('SELECT id FROM payments WHERE account = $1', [account])
        .then((rows) => callback(null, { paymentIds: rows.map(({ id }) => String(id)) }), callback);
    },
  };

  const guard = createReplayGuard({ store, scope: singleTenant(), policies });
  const server = new Server({ interceptors: [guard.interceptor] });
  server.addService(guard.protect(PaymentsService), payments);
  server.bindAsync(address, ServerCredentials.createInsecure(), (error, port) => {
    if (error) throw error;
    console.log(`serving on port ${port}`);
  });

  process.once('SIGTERM', () => {
    server.tryShutdown(async () => {
      await guard.close();
      await close();
    });
  });
}

main(
  process.env.DATABASE_URL ?? 'postgres://postgres@127.0.0.1:5432/payments',
  process.env.GRPC_ADDRESS ?? '127.0.0.1:50051',
);
