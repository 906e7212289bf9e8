import { createHash, randomUUID } from 'node:crypto';
import {
  Client,
  credentials,
  Metadata,
  Server,
  type ServerUnaryCall,
  type ServiceDefinition,
  type sendUnaryData,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { inventoryService, orderService } from '#src/rpc/definitions.js';
import { type ClientMethod, callUnary } from '#src/rpc/unary-client.js';
import type { ServerSetup } from '../messages.js';
import { openWithTables } from '../tables.js';
import { PostgresHandStore } from './postgres-store.js';
import { SqliteHandStore } from './sqlite-store.js';
import type { HandStore, StoredReply } from './store.js';
import {
  confirmReservation,
  endEvent,
  getItem,
  placeOrder,
  receiveStock,
  reserveStock,
  type Write,
} from './writes.js';

/** A request as its bytes and its message. */
interface Raw<Request> {
  readonly bytes: Buffer;
  readonly message: Request;
}

type Call<Request> = ServerUnaryCall<Raw<Request>, Buffer>;
type Callback = sendUnaryData<Buffer>;

/** Starts a server that is written by hand for the happy path. Resolves to the port. */
export async function startByHand(
  { kind, databaseUrl }: ServerSetup,
  listen: (server: Server) => Promise<number>,
): Promise<number> {
  await (await openWithTables(databaseUrl)).close();
  const store = databaseUrl.startsWith('sqlite:')
    ? new SqliteHandStore(databaseUrl.slice('sqlite:'.length), kind === 'yardstick')
    : new PostgresHandStore(databaseUrl);
  const server = new Server();
  let self: Client;
  const call = <Req, Res>(method: ClientMethod<Req, Res>, request: NoInfer<Req>, key?: string) =>
    callUnary(self, method, request, { timeoutMs: 5_000, metadata: metadataOf(key) });

  /** Answers a call whose writes are known from its request. */
  const handle =
    <Request>(writeOf: (request: Request) => Write, isKeyed = kind === 'yardstick') =>
    (rpc: Call<Request>, callback: Callback) => {
      if (!isKeyed) {
        store.write(writeOf(rpc.request.message)).then((bytes) => callback(null, bytes), failing(callback));
        return;
      }
      answerOnce(store, rpc, callback, (key) => store.execute(key, writeOf(rpc.request.message)));
    };

  server.addService(
    raw(inventoryService, ['ReceiveStock', 'GetItem', 'ReserveStock', 'ConfirmReservation']),
    {
      ReceiveStock: handle<{ sku: string; quantity: number }>(({ sku, quantity }) =>
        receiveStock(sku, quantity),
      ),
      GetItem: handle<{ sku: string }>(({ sku }) => getItem(sku), false),
      ReserveStock: handle<{ lines: { sku: string; quantity: number }[] }>(({ lines: [line] }) =>
        reserveStock(randomUUID(), line?.sku ?? '', line?.quantity ?? 0),
      ),
      ConfirmReservation: handle<{ reservationId: string }>(({ reservationId }) =>
        confirmReservation(reservationId),
      ),
    } as UntypedServiceImplementation,
  );

  /** Confirms the reservation of a committed order, as the relay of the shop does. */
  const confirm = async (eventId: string, reservationId: string) => {
    await call(inventoryService.ConfirmReservation, { reservationId }, eventId);
    await store.run(endEvent(eventId));
  };

  server.addService(raw(orderService, ['PlaceOrder']), {
    PlaceOrder: (
      rpc: Call<{ customerId: string; lines: { sku: string; quantity: number }[] }>,
      callback: Callback,
    ) =>
      answerOnce(store, rpc, callback, async (key) => {
        const { customerId, lines } = rpc.request.message;
        const [{ response: found }, { response: reserved }] = await Promise.all([
          call(inventoryService.GetItem, { sku: lines[0]?.sku ?? '' }),
          call(inventoryService.ReserveStock, { lines }, `reserve-${key.id.toString('hex')}`),
        ]);
        const { reservationId = '', lines: priced = [] } = reserved.reservation ?? {};
        const total = priced.reduce((sum, line) => sum + line.quantity * Number(line.unitPriceMinor), 0);
        const eventId = randomUUID();
        const order = {
          ...{
            orderId: randomUUID(),
            customerId,
            lines: priced,
            reservationId,
            status: 'ORDER_STATUS_PLACED' as const,
          },
          ...{ totalMinor: String(total), currency: found.item?.currency ?? '', labels: {} },
        };
        const reply = await store.execute(key, placeOrder(order, eventId));
        if (!reply.isReplay) confirm(eventId, reservationId).catch((error) => console.error(error));
        return reply;
      }),
  } as UntypedServiceImplementation);

  const port = await listen(server);
  self = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
  return port;
}

/** Looks the key up once, executes if there is no record, and sends the stored bytes. */
function answerOnce<Request>(
  store: HandStore,
  { metadata, request }: Call<Request>,
  callback: Callback,
  execute: (key: { id: Buffer; fingerprint: Buffer }) => Promise<StoredReply>,
): void {
  const key = { id: sha256(String(metadata.get('idempotency-key')[0])), fingerprint: sha256(request.bytes) };
  const send = ({ bytes, expiresAtMs, isReplay }: StoredReply) => {
    const trailers = new Metadata();
    if (isReplay) trailers.set('idempotent-replayed', 'true');
    trailers.set('idempotency-expires-at', new Date(expiresAtMs).toISOString());
    callback(null, bytes, trailers);
  };
  const stored = store.find(key);
  if (stored && !(stored instanceof Promise)) send(stored);
  else if (!stored) execute(key).then(send, failing(callback));
  else stored.then((reply) => reply ?? execute(key)).then(send, failing(callback));
}

/** The definitions of some methods, with requests as `Raw` and replies as bytes. */
function raw(service: ServiceDefinition, names: readonly string[]): ServiceDefinition {
  const definitions = names.map((name) => {
    const method = service[name] as ServiceDefinition[string];
    return [
      name,
      {
        ...method,
        requestDeserialize: (bytes: Buffer) => ({ bytes, message: method.requestDeserialize(bytes) }),
        responseSerialize: (bytes: Buffer) => bytes,
      },
    ];
  });
  return Object.fromEntries(definitions);
}

function sha256(value: string | Buffer): Buffer {
  return createHash('sha256').update(value).digest();
}

function failing(callback: Callback): (error: unknown) => void {
  return (error) => callback({ code: status.INTERNAL, details: String(error) });
}

function metadataOf(key: string | undefined): Metadata {
  const metadata = new Metadata();
  if (key !== undefined) metadata.set('idempotency-key', key);
  return metadata;
}
