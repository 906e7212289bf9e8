import {
  type ChannelCredentials,
  Client,
  type Interceptor,
  type Metadata,
  type ServiceError as RpcError,
  status,
} from '@grpc/grpc-js';
import { createRetryServiceConfig, withIdempotencyKey } from 'grpc-replay-guard/client';
import { ERROR_DOMAIN, REASONS, REPLAYED_TRAILER, readStatusDetails } from 'grpc-replay-guard/protocol';
import type { Reservation__Output } from '../gen/shop/inventory/v1/Reservation.js';
import type { Inventory, Reservation } from '../order/inventory.js';
import { inventoryService } from '../rpc/definitions.js';
import type { Line } from '../rpc/lines.js';
import { failure, ServiceError } from '../rpc/service-error.js';
import { type ClientMethod, callUnary, type Reply } from '../rpc/unary-client.js';

/** The options of `createInventoryClient`. */
export interface InventoryClientOptions {
  /** `host:port` of the inventory. */
  readonly address: string;
  readonly credentials: ChannelCredentials;
  readonly interceptors?: Interceptor[];
  /** The timeout of a call, in milliseconds. Default: 5000. An interceptor may set an earlier deadline. */
  readonly timeoutMs?: number;
  /** Called at each call. Returns the signal that cancels the call. */
  readonly signal?: () => AbortSignal | undefined;
}

/** One attempt at a change of the inventory. */
export interface ChangeAttempt {
  /** The idempotency key of the change. It is the same for every attempt. */
  readonly key: string;
  /** The time of the first attempt. The inventory refuses an attempt after the key's retention. */
  readonly firstAt?: Date;
  /** Cancels this attempt when it is aborted. */
  readonly signal?: AbortSignal;
}

/** A client of the inventory service, for orders and the relay. Methods throw ServiceError like `Inventory`. */
export interface InventoryClient extends Inventory {
  getReservation(reservationId: string): Promise<Reservation>;
  confirm(reservationId: string, attempt: ChangeAttempt): Promise<Reservation>;
  /** @param attempt default: an attempt with a key made from the reservation's id */
  release(reservationId: string, attempt?: ChangeAttempt): Promise<Reservation>;
  receiveStock(sku: string, quantity: number, attempt: ChangeAttempt): Promise<void>;
  /** Closes the connections. Running calls fail. */
  close(): void;
}

/** The status codes of definite refusals. Orders pass these refusals on to their callers. */
const DEFINITE_CODES = new Set([
  status.INVALID_ARGUMENT,
  status.NOT_FOUND,
  status.ALREADY_EXISTS,
  status.FAILED_PRECONDITION,
  status.OUT_OF_RANGE,
]);

const serviceConfig = createRetryServiceConfig({
  maxAttempts: 4,
  initialBackoffMs: 50,
  maxBackoffMs: 500,
});

/** Makes a client of the inventory service. It connects at its first call. */
export function createInventoryClient(options: InventoryClientOptions): InventoryClient {
  const { address, credentials, interceptors = [], timeoutMs = 5000, signal } = options;
  const client = new Client(address, credentials, {
    interceptors,
    'grpc.service_config': JSON.stringify(serviceConfig),
    // The inventory is in the same network or in this process, so HTTP proxies of the environment do not apply.
    'grpc.enable_http_proxy': 0,
    'grpc.keepalive_time_ms': 30_000,
    'grpc.keepalive_timeout_ms': 5_000,
  });

  async function call<Req, Res>(
    method: ClientMethod<Req, Res>,
    request: NoInfer<Req>,
    attempt?: ChangeAttempt,
  ): Promise<Reply<Res>> {
    const metadata = attempt && metadataOf(attempt);
    const callSignal = attempt?.signal ?? signal?.();
    try {
      return await callUnary(client, method, request, { metadata, timeoutMs, signal: callSignal });
    } catch (error) {
      throw asServiceError(error as RpcError);
    }
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
      // A replayed reply has the state that the reservation had when it was made.
      const isReplayed = trailers.get(REPLAYED_TRAILER).length > 0;
      return isReplayed ? getReservation(reservation.reservationId) : reservation;
    },
    async confirm(reservationId, attempt) {
      const { response } = await call(inventoryService.ConfirmReservation, { reservationId }, attempt);
      return reservationFrom(response.reservation);
    },
    // A derived key would be wrong here: a later execution of the operation may release another reservation.
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

function metadataOf({ key, firstAt }: ChangeAttempt): Metadata {
  return withIdempotencyKey(key, firstAt && { firstSent: firstAt });
}

/** Details of the guard of the inventory stay here: they are about the key of this call, not about the caller's key. */
function asServiceError(error: RpcError): ServiceError {
  const [entry] = error.metadata?.get('grpc-status-details-bin') ?? [];
  const details = Buffer.isBuffer(entry) ? entry : undefined;
  const { errorInfo } = details ? readStatusDetails(details) : {};
  const isOfGuard = errorInfo?.domain === ERROR_DOMAIN;
  if (DEFINITE_CODES.has(error.code)) {
    return new ServiceError(error.code, error.details, isOfGuard ? undefined : details);
  }
  // The caller has reached a quota at the inventory. The change had no effect, and may succeed later.
  if (isOfGuard && errorInfo.reason === REASONS.QUOTA_EXCEEDED) {
    const message = `the inventory refused the call: ${error.details}`;
    return failure(status.RESOURCE_EXHAUSTED, 'INVENTORY_QUOTA_EXCEEDED', message);
  }
  const unavailable = new ServiceError(status.UNAVAILABLE, 'the inventory is unavailable, try again');
  return Object.assign(unavailable, { cause: error });
}

function reservationFrom(message: Reservation__Output | null): Reservation {
  if (!message) throw new ServiceError(status.UNAVAILABLE, 'the reply of the inventory has no reservation');
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
