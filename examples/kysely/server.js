import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { createReplayGuard, singleTenant } from 'grpc-replay-guard';
import { createKyselyDialect } from 'grpc-replay-guard/kysely';
import { openPostgres } from 'grpc-replay-guard/postgres';
import { Kysely } from 'kysely';

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

// One instance serves all calls. Each statement joins the transaction of the call that runs it.
const db = new Kysely({ dialect: createKyselyDialect(database) });

const guard = createReplayGuard({ store, scope: singleTenant() });
const server = new Server({ interceptors: [guard.interceptor] });
server.addService(guard.protect(Payments), {
  async Charge({ request: { account, amount } }, callback) {
    const id = randomUUID();
    await db.insertInto('payments').values({ id, account, amount }).execute();
    await db
      .insertInto('accounts')
      .values({ name: account, payments: 1 })
      .onConflict((conflict) =>
        conflict.column('name').doUpdateSet((row) => ({ payments: row('accounts.payments', '+', 1) })),
      )
      .execute();
    callback(null, { paymentId: id });
  },
  GetAccount({ request: { account } }, callback) {
    db.selectFrom('payments')
      .select('id')
      .where('account', '=', account)
      .execute()
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
