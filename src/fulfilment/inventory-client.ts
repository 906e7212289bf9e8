import {
  type ChannelCredentials,
  Client,
  type Interceptor,
  type ServiceError as RpcError,
  status,
} from '@grpc/grpc-js';
import type { Reservation__Output } from '../gen/shop/inventory/v1/Reservation.js';
import type { Inventory, Reservation } from '../order/inventory.js';
import { inventoryService } from '../rpc/definitions.js';
import type { Line } from '../rpc/lines.js';
import { ServiceError } from '../rpc/service-error.js';
import { ask, type ClientMethod, type Reply } from '../rpc/unary-client.js';

export interface InventoryClientOptions {
  readonly address: string;
  readonly credentials: ChannelCredentials;
  readonly interceptors?: Interceptor[];
  /** When a call gives up, in milliseconds; 5000 where left out. An interceptor may set an earlier deadline. */
  readonly timeoutMs?: number;
  /** Asked at each call for what cancels it: whatever the call is for need not be done any more. */
  readonly signal?: () => AbortSignal | undefined;
}

/** One of perhaps several attempts at the same change. */
export interface ChangeAttempt {
  /** The same for every attempt. */
  readonly key: string;
  /** When the first attempt was made, so that none comes after the key was forgotten. */
  readonly firstAt?: Date;
  /** Cancels this attempt. */
  readonly signal?: AbortSignal;
}

/** The inventory service, for orders and for the relay. Every method throws ServiceError, as `Inventory` says. */
export interface InventoryClient extends Inventory {
  getReservation(reservationId: string): Promise<Reservation>;
  confirm(reservationId: string, attempt: ChangeAttempt): Promise<Reservation>;
  /** @param attempt has a key made of the reservation's id where left out */
  release(reservationId: string, attempt?: ChangeAttempt): Promise<Reservation>;
  receiveStock(sku: string, quantity: number, attempt: ChangeAttempt): Promise<void>;
  /** Closes the connections; calls that are running fail. */
  close(): void;
}

const passedThrough = new Set([
  status.INVALID_ARGUMENT,
  status.NOT_FOUND,
  status.ALREADY_EXISTS,
  status.FAILED_PRECONDITION,
  status.OUT_OF_RANGE,
]);

const serviceConfig = JSON.stringify({
  methodConfig: [
    {
      name: [{}],
      retryPolicy: {
        maxAttempts: 4,
        initialBackoff: '0.05s',
        maxBackoff: '0.5s',
        backoffMultiplier: 2,
        retryableStatusCodes: ['UNAVAILABLE'],
      },
    },
  ],
});

/** Connects when it is first used. */
export function createInventoryClient(options: InventoryClientOptions): InventoryClient {
  const { address, credentials, interceptors = [], timeoutMs = 5000, signal } = options;
  const client = new Client(address, credentials, {
    interceptors,
    'grpc.service_config': serviceConfig,
    // The inventory is a neighbour, or this process itself: no proxy of the surroundings stands between.
    'grpc.enable_http_proxy': 0,
    'grpc.keepalive_time_ms': 30_000,
    'grpc.keepalive_timeout_ms': 5_000,
  });

  async function call<Req, Res>(
    method: ClientMethod<Req, Res>,
    request: NoInfer<Req>,
    attempt?: ChangeAttempt,
  ): Promise<Reply<Res>> {
    const metadata = attempt ? metadataOf(attempt) : {};
    const cancelled = attempt?.signal ?? signal?.();
    return ask(client, method, request, { metadata, timeoutMs, signal: cancelled }).catch((error) => {
      throw asServiceError(error);
    });
  }

  async function getReservation(reservationId: string): Promise<Reservation> {
    const { response } = await call(inventoryService.GetReservation, { reservationId });
    return reservationFrom(response.reservation);
  }

  return {
    getReservation,
    async currencyOf(sku) {
      const { response } = await call(inventoryService.GetItem, { sku });
      return response.item?.currency ?? '';
    },
    async reserve(lines, holdMs) {
      const request = { lines: lines as Line[], hold: duration(holdMs) };
      const { response, trailers } = await call(inventoryService.ReserveStock, request);
      const reservation = reservationFrom(response.reservation);
      // A stored reply says how the reservation was when it was made.
      const isReplayed = trailers.get('idempotent-replayed').length > 0;
      return isReplayed ? getReservation(reservation.reservationId) : reservation;
    },
    async confirm(reservationId, attempt) {
      const { response } = await call(inventoryService.ConfirmReservation, { reservationId }, attempt);
      return reservationFrom(response.reservation);
    },
    // Not left to a derived key: an operation that is run again may have another reservation to release.
    async release(reservationId, attempt = { key: `release:${reservationId}` }) {
      const { response } = await call(inventoryService.ReleaseReservation, { reservationId }, attempt);
      return reservationFrom(response.reservation);
    },
    async receiveStock(sku, quantity, attempt) {
      await call(inventoryService.ReceiveStock, { sku, quantity }, attempt);
    },
    close: () => client.close(),
  };
}

function metadataOf({ key, firstAt }: ChangeAttempt): Record<string, string> {
  return {
    'idempotency-key': key,
    ...(firstAt && { 'idempotency-first-sent': firstAt.toISOString() }),
  };
}

function asServiceError(error: RpcError): ServiceError {
  const details = error.metadata?.get('grpc-status-details-bin')[0];
  if (passedThrough.has(error.code)) {
    return new ServiceError(error.code, error.details, Buffer.isBuffer(details) ? details : undefined);
  }
  const unavailable = new ServiceError(status.UNAVAILABLE, 'the inventory is unavailable, try again');
  return Object.assign(unavailable, { cause: error });
}

function reservationFrom(message: Reservation__Output | null): Reservation {
  if (!message) throw new ServiceError(status.UNAVAILABLE, 'the inventory answered without a reservation');
  const { reservationId, lines, state } = message;
  return {
    reservationId,
    state: state.replace('RESERVATION_STATE_', '') as Reservation['state'],
    lines: lines.map((line) => ({ ...line, unitPriceMinor: BigInt(line.unitPriceMinor) })),
  };
}

function duration(ms: number) {
  return { seconds: Math.floor(ms / 1000), nanos: (ms % 1000) * 1_000_000 };
}
