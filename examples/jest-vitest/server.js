const { randomUUID } = require('node:crypto');
const { Server } = require('@grpc/grpc-js');
const { loadSync } = require('@grpc/proto-loader');
const { createReplayGuard, singleTenant } = require('grpc-replay-guard');

const { 'example.v1.Payments': Payments } = loadSync('payments.proto', { includeDirs: [__dirname] });

/** Makes the server of the payments. Tests give it a database in memory. */
function createServer({ store, database }) {
  const guard = createReplayGuard({ store, scope: singleTenant() });
  const server = new Server({ interceptors: [guard.interceptor] });
  server.addService(guard.protect(Payments), {
    async Charge({ request: { account, amount } }, callback) {
      const id = randomUUID();
      await database.query('INSERT INTO payments VALUES ($1, $2, $3)', [id, account, amount]);
      callback(null, { paymentId: id });
    },
  });
  return { server, guard };
}

module.exports = { Payments, createServer };
