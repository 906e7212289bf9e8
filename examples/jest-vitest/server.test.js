const { credentials, makeGenericClientConstructor, ServerCredentials } = require('@grpc/grpc-js');
const { withIdempotencyKey } = require('grpc-replay-guard/client');
const { openSqlite } = require('grpc-replay-guard/sqlite');
const { createServer, Payments } = require('./server.js');

let opened;
let started;
let client;

beforeAll(async () => {
  opened = await openSqlite({ path: ':memory:' });
  await opened.database.migrate('payments', [
    'CREATE TABLE payments (id TEXT, account TEXT, amount BIGINT CHECK (amount > 0))',
  ]);
  started = createServer(opened);
  const port = await new Promise((resolve, reject) =>
    started.server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    ),
  );
  const Client = makeGenericClientConstructor(Payments, 'Payments');
  client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
});

afterAll(async () => {
  client.close();
  started.server.forceShutdown();
  await started.guard.close();
  await opened.close();
});

const charge = (request, key) =>
  new Promise((resolve, reject) =>
    client.Charge(request, withIdempotencyKey(key), (error, reply) =>
      error ? reject(error) : resolve(reply),
    ),
  );

test('a repeated charge gets the first payment', async () => {
  const first = await charge({ account: 'ada', amount: 5 }, 'k-1');
  expect(await charge({ account: 'ada', amount: 5 }, 'k-1')).toEqual(first);
  expect(await opened.database.query('SELECT account FROM payments')).toEqual([{ account: 'ada' }]);
});

test('another amount under the same key is refused', async () => {
  await charge({ account: 'bob', amount: 5 }, 'k-2');
  await expect(charge({ account: 'bob', amount: 6 }, 'k-2')).rejects.toThrow(
    'used before with another request',
  );
});

test('a charge that the database refuses is answered, and nothing is committed', async () => {
  await expect(charge({ account: 'eve', amount: 0 }, 'k-3')).rejects.toThrow('nothing was committed');
});
