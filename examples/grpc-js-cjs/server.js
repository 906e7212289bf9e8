const { randomUUID } = require('node:crypto');
const { Server, ServerCredentials } = require('@grpc/grpc-js');
const { loadSync } = require('@grpc/proto-loader');
const { createReplayGuard, singleTenant } = require('grpc-replay-guard');
const { MemoryStore } = require('grpc-replay-guard/memory');

const { 'example.v1.Payments': Payments } = loadSync('payments.proto', { includeDirs: [__dirname] });

const guard = createReplayGuard({ store: new MemoryStore(), scope: singleTenant() });
const server = new Server({ interceptors: [guard.interceptor] });
const payments = [];
server.addService(guard.protect(Payments), {
  Charge({ request: { account, amount } }, callback) {
    const paymentId = randomUUID();
    payments.push({ paymentId, account, amount });
    callback(null, { paymentId });
  },
  GetAccount({ request }, callback) {
    const own = payments.filter(({ account }) => account === request.account);
    callback(null, { paymentIds: own.map(({ paymentId }) => paymentId) });
  },
});

const address = process.env.GRPC_ADDRESS ?? '127.0.0.1:50051';
server.bindAsync(address, ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  console.log(`serving on port ${port}`);
});

process.once('SIGTERM', () => server.tryShutdown(() => guard.close()));
