import { randomUUID } from 'node:crypto';
import { create, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData } from '@grpc/grpc-js';
import { createReplayGuard, singleTenant } from 'grpc-replay-guard';
import { openSqlite } from 'grpc-replay-guard/sqlite';
import { definitionOf } from './definition.js';
import * as pb from './gen/payments_pb.js';

const { store, database, close } = await openSqlite({ path: 'data/payments.db' });
await database.migrate('payments', ['CREATE TABLE payments (id TEXT, account TEXT, amount BIGINT)']);

const payments = {
  async Charge(
    { request: { account, amount } }: ServerUnaryCall<pb.ChargeRequest, pb.ChargeResponse>,
    callback: sendUnaryData<pb.ChargeResponse>,
  ) {
    const paymentId = randomUUID();
    await database.query('INSERT INTO payments VALUES ($1, $2, $3)', [paymentId, account, amount]);
    callback(null, create(pb.ChargeResponseSchema, { paymentId }));
  },
  async GetAccount(
    { request: { account } }: ServerUnaryCall<pb.GetAccountRequest, pb.GetAccountResponse>,
    callback: sendUnaryData<pb.GetAccountResponse>,
  ) {
    const rows = await database.query('SELECT id FROM payments WHERE account = $1', [account]);
    callback(null, create(pb.GetAccountResponseSchema, { paymentIds: rows.map(({ id }) => String(id)) }));
  },
};

// The generated code contains the descriptors of its file. The guard reads the options of the methods from them.
const file = [pb.file_payments.proto];
const descriptors = toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file }));

const guard = createReplayGuard({ store, scope: singleTenant(), descriptors });
const server = new Server({ interceptors: [guard.interceptor] });
server.addService(guard.protect(definitionOf(pb.Payments)), payments);

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
