import { fileURLToPath } from 'node:url';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { createReplayGuard, singleTenant } from 'grpc-replay-guard';
import { openPostgres } from 'grpc-replay-guard/postgres';

// The .proto declares the policies by an option of the library. The loader needs the file of this option.
const option = import.meta.resolve('grpc-replay-guard/proto/replayguard/v1/policy.proto');
const includeDirs = [import.meta.dirname, fileURLToPath(new URL('../..', option))];
const { 'example.v1.Payments': Payments } = loadSync('payments.proto', { includeDirs });

const { store, database, close } = await openPostgres({
  connectionString: process.env.DATABASE_URL ?? 'postgres://postgres@127.0.0.1:5432/payments',
});
await database.migrate('payments', [
  'CREATE TABLE payments (id TEXT PRIMARY KEY, account TEXT NOT NULL, amount BIGINT NOT NULL)',
  'CREATE TABLE accounts (name TEXT PRIMARY KEY, payments BIGINT NOT NULL)',
]);

// One instance of the builder serves all calls. Each statement joins the transaction of the call that runs it.
const { connect } = await import(`./builders/${process.env.BUILDER ?? 'kysely'}.js`);
const { charge, paymentsOf } = await connect(database);

const guard = createReplayGuard({ store, scope: singleTenant() });
const server = new Server({ interceptors: [guard.interceptor] });
server.addService(guard.protect(Payments), {
  Charge({ request }, callback) {
    const id = crypto.randomUUID();
    charge({ id, ...request }).then(() => callback(null, { paymentId: id }), callback);
  },
  GetAccount({ request: { account } }, callback) {
    paymentsOf(account).then((paymentIds) => callback(null, { paymentIds }), callback);
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
