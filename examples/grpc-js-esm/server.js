import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { createReplayGuard, singleTenant } from 'grpc-replay-guard';
import { openSqlite } from 'grpc-replay-guard/sqlite';

// The .proto declares the policies by an option of the library. The loader needs the file of this option.
const option = import.meta.resolve('grpc-replay-guard/proto/replayguard/v1/policy.proto');
const includeDirs = [import.meta.dirname, fileURLToPath(new URL('../..', option))];
const { 'example.v1.Payments': Payments } = loadSync('payments.proto', { includeDirs });

const { store, database, close } = await openSqlite({ path: 'data/payments.db' });
await database.migrate('payments', ['CREATE TABLE payments (id TEXT, account TEXT, amount BIGINT)']);

const guard = createReplayGuard({ store, scope: singleTenant() });
const server = new Server({ interceptors: [guard.interceptor] });
server.addService(guard.protect(Payments), {
  async Charge({ request: { account, amount } }, callback) {
    const id = randomUUID();
    await database.query('INSERT INTO payments VALUES ($1, $2, $3)', [id, account, amount]);
    callback(null, { paymentId: id });
  },
  GetAccount({ request: { account } }, callback) {
    database
      .query('SELECT id FROM payments WHERE account = $1', [account])
      .then((rows) => callback(null, { paymentIds: rows.map(({ id }) => id) }), callback);
  },
});

const address = process.env.GRPC_ADDRESS ?? '127.0.0.1:50051';
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
