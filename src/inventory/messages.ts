import type { Item as ItemMessage } from '../gen/shop/inventory/v1/Item.js';
import type { Reservation as ReservationMessage } from '../gen/shop/inventory/v1/Reservation.js';
import { timestamp } from '../rpc/timestamp.js';
import type { Item } from './items.js';
import type { Reservation } from './reservations.js';

/** Makes the protobuf message of an item. */
export function itemMessage(item: Item): ItemMessage {
  return {
    sku: item.sku,
    name: item.name,
    unitPriceMinor: String(item.unit_price_minor),
    currency: item.currency,
    onHand: String(item.on_hand),
    reserved: String(item.reserved),
    available: String(item.on_hand - item.reserved),
  };
}

/** Makes the protobuf message of a reservation. */
export function reservationMessage(reservation: Reservation): ReservationMessage {
  return {
    reservationId: reservation.reservation_id,
    lines: reservation.lines.map((line) => ({
      sku: line.sku,
      quantity: Number(line.quantity),
      unitPriceMinor: String(line.unit_price_minor),
    })),
    state: `RESERVATION_STATE_${reservation.state}`,
    expireTime: timestamp(reservation.expires_at),
  };
}
