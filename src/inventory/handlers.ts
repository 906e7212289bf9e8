import type { InventoryServiceHandlers } from '../gen/shop/inventory/v1/InventoryService.js';
import type { Clock } from '../platform/clock.js';
import type { Database } from '../platform/database.js';
import type { Ids } from '../platform/ids.js';
import type { Log } from '../platform/log.js';
import { parseRequest } from '../rpc/parse-request.js';
import { unary } from '../rpc/unary.js';
import { confirmReservation, releaseReservation } from './end-reservation.js';
import { Items } from './items.js';
import { itemMessage, reservationMessage } from './messages.js';
import * as requests from './requests.js';
import { Reservations } from './reservations.js';
import { reserveStock } from './reserve-stock.js';

/** The options of `createInventoryHandlers`. */
export interface InventoryHandlersOptions {
  readonly database: Database;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly log?: Log;
}

/** Makes the handlers of shop.inventory.v1.InventoryService. */
export function createInventoryHandlers(options: InventoryHandlersOptions): InventoryServiceHandlers {
  const { database, clock, ids, log } = options;
  const items = new Items(database);
  const reservations = new Reservations(database);
  const stock = { database, items, reservations };

  return {
    PutItem: unary(async (request) => {
      const { unitPriceMinor, ...item } = parseRequest(requests.putItem, request);
      const stored = await items.put({ ...item, unit_price_minor: unitPriceMinor }, clock.now());
      return { item: itemMessage(stored) };
    }, log),

    ReceiveStock: unary(async (request) => {
      const line = parseRequest(requests.receiveStock, request);
      return { item: itemMessage(await items.receive(line, clock.now())) };
    }, log),

    ReserveStock: unary(async (request) => {
      const { lines, hold: holdMs } = parseRequest(requests.reserveStock, request);
      const nowMs = clock.now();
      const reservationId = ids.next('reservation');
      const hold = { reservationId, lines, nowMs, expiresAtMs: nowMs + holdMs };
      return { reservation: reservationMessage(await reserveStock(stock, hold)) };
    }, log),

    ConfirmReservation: unary(async (request) => {
      const { reservationId } = parseRequest(requests.oneReservation, request);
      return { reservation: reservationMessage(await confirmReservation(stock, reservationId, clock.now())) };
    }, log),

    ReleaseReservation: unary(async (request) => {
      const { reservationId } = parseRequest(requests.oneReservation, request);
      return { reservation: reservationMessage(await releaseReservation(stock, reservationId, clock.now())) };
    }, log),

    GetItem: unary(async (request) => {
      const { sku } = parseRequest(requests.oneItem, request);
      return { item: itemMessage(await items.get(sku, clock.now())) };
    }, log),

    GetReservation: unary(async (request) => {
      const { reservationId } = parseRequest(requests.oneReservation, request);
      return { reservation: reservationMessage(await reservations.get(reservationId, clock.now())) };
    }, log),
  };
}
