import type { Order as OrderMessage } from '../gen/shop/order/v1/Order.js';
import { timestamp } from '../rpc/timestamp.js';
import type { Order } from './orders.js';

/** Makes the protobuf message of an order. */
export function orderMessage(order: Order): OrderMessage {
  return {
    orderId: order.orderId,
    customerId: order.customerId,
    lines: order.lines.map((line) => ({ ...line, unitPriceMinor: String(line.unitPriceMinor) })),
    totalMinor: String(order.totalMinor),
    currency: order.currency,
    status: `ORDER_STATUS_${order.status}`,
    reservationId: order.reservationId,
    createTime: timestamp(order.createdAt),
    labels: order.labels,
  };
}
