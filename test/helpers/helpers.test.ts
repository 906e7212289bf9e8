import { type ServerUnaryCall, type sendUnaryData, status } from '@grpc/grpc-js';
import test from 'ava';
import { inventoryService } from '#src/rpc/definitions.js';
import { engines, freshData } from './databases/engines.js';
import { decodeStatusDetails } from './messages/status-details.js';
import { ServerProcess } from './processes/shop-process.js';
import { loadLedger } from './servers/ledger.js';
import { connectTo, startServer } from './servers/server.js';
import { Barrier } from './waiting/barrier.js';

type Append = ServerUnaryCall<{ account: string }, object>;
type Answer = sendUnaryData<object>;

for (const engine of engines) {
  test(`${engine}: a killed server process restarts on the same port and replays its keys`, async (t) => {
    const { url } = await freshData(t, engine);
    const first = new ServerProcess(t, { DATABASE_URL: url });
    const address = await first.grpcAddress();
    const item = { sku: 'A', name: 'Apple', unitPriceMinor: '5', currency: 'EUR' };
    const put = await connectTo(t, address).call(inventoryService.PutItem, item, { key: 'one' });
    t.is(put.code, status.OK, put.details);
    t.true((await fetch(`http://${await first.opsAddress()}/readyz`)).ok);
    await first.kill();
    t.deepEqual(await first.exited, { code: null, signal: 'SIGKILL' });

    const second = await first.restart(t);
    t.is(await second.grpcAddress(), address);
    const again = await connectTo(t, address).call(inventoryService.PutItem, item, { key: 'one' });
    t.true(again.replayed, JSON.stringify(again));
    t.deepEqual(again.bytes, put.bytes);
    t.deepEqual(await second.stop(), { code: 0, signal: null });
  });
}

test('a server process that cannot start rejects with its error message', async (t) => {
  const server = new ServerProcess(t, { SERVICES: 'nonsense' });
  await t.throwsAsync(server.grpcAddress(), { message: /SERVICES/ });
  t.not((await server.exited).code, 0);
});

test('a call resolves to its bytes, its deadline error, or its cancellation', async (t) => {
  const ledger = loadLedger();
  const barrier = new Barrier();
  const server = await startServer(t, {
    services: [
      [
        ledger,
        {
          Append: (call: Append, answer: Answer) => answer(null, { entryId: call.request.account }),
          Touch: (_call: unknown, answer: Answer) => answer(null, {}),
          Transfer: async (_call: unknown, answer: Answer) => {
            await barrier.pass();
            answer(null, {});
          },
        },
      ],
    ],
  });
  const [one, two] = server.connectMany(2);
  if (!one || !two) return t.fail();
  const appended = await one.call(ledger.Append, { account: 'abc', amountMinor: '9007199254740993' });
  t.is(appended.message?.entryId, 'abc');
  t.deepEqual(appended.bytes, Buffer.from('\n\x03abc'));
  t.is((await two.call(ledger.Touch, {})).bytes?.length, 0);
  t.is((await two.call(ledger.Read, {})).code, status.UNIMPLEMENTED);
  t.is((await one.call(ledger.Transfer, {}, { deadlineMs: 50 })).code, status.DEADLINE_EXCEEDED);
  const stop = new AbortController();
  const cancelled = two.call(ledger.Transfer, {}, { signal: stop.signal });
  await barrier.reached(2);
  stop.abort();
  t.is((await cancelled).code, status.CANCELLED);
  barrier.open();
});

test('each version of the ledger schema reads the messages of the other version', (t) => {
  const [now, next] = [loadLedger(), loadLedger('next')];
  const bytes = next.Append.responseSerialize({ entryId: 'e', currency: 'EUR' });
  t.is(next.Append.responseDeserialize(bytes).currency, 'EUR');
  t.is(now.Append.responseDeserialize(bytes).entryId, 'e');
  t.false('currency' in now.Append.responseDeserialize(bytes));
});

test('status details in the encoding of google.rpc are decoded', (t) => {
  // A Status with an ErrorInfo {reason: "R", domain: "d"}, encoded by hand.
  const type = 'type.googleapis.com/google.rpc.ErrorInfo';
  const info = Buffer.from([0x0a, 1, 0x52, 0x12, 1, 0x64]);
  const any = Buffer.concat([
    Buffer.from([0x0a, type.length]),
    Buffer.from(type),
    Buffer.from([0x12, info.length]),
    info,
  ]);
  const details = decodeStatusDetails(Buffer.concat([Buffer.from([0x08, 9, 0x1a, any.length]), any]));
  t.deepEqual(details, {
    code: 9,
    message: '',
    types: ['ErrorInfo'],
    errorInfo: { reason: 'R', domain: 'd', metadata: {} },
  });
});
