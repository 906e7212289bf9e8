import type { OrderServiceHandlers } from '../gen/shop/order/v1/OrderService.js';
import type { Log } from '../platform/log.js';
import { unary } from '../rpc/unary.js';
import { valid } from '../rpc/valid.js';
import { cancelOrder } from './cancel-order.js';
import { orderMessage } from './messages.js';
import { Orders } from './orders.js';
import { pageToken } from './page-token.js';
import { type PlacingOptions, placeOrder } from './place-order.js';
import * as requests from './requests.js';

const DEFAULT_HOLD = 15 * 60_000;

export interface OrderOptions extends Omit<PlacingOptions, 'hold'> {
  /** How long the stock is held for the order to be confirmed, in milliseconds; 15 minutes where left out. */
  readonly hold?: number;
  readonly log?: Log;
}

/** The handlers of shop.order.v1.OrderService. */
export function createOrderHandlers(options: OrderOptions): OrderServiceHandlers {
  const placing: PlacingOptions = { ...options, hold: options.hold ?? DEFAULT_HOLD };
  const { log } = options;
  const orders = new Orders(options.database);

  return {
    PlaceOrder: unary(async (request) => {
      const wanted = valid(requests.placeOrder, request);
      return { order: orderMessage(await placeOrder(placing, wanted)) };
    }, log),

    CancelOrder: unary(async (request) => {
      const { orderId, reason } = valid(requests.cancelOrder, request);
      return { order: orderMessage(await cancelOrder(options, orderId, reason)) };
    }, log),

    GetOrder: unary(async (request) => {
      const { orderId } = valid(requests.getOrder, request);
      return { order: orderMessage(await orders.get(orderId)) };
    }, log),

    ListOrders: unary(async (request) => {
      const { customerId, pageSize, position } = valid(requests.listOrders, request);
      // One more than asked for tells whether there is another page.
      const found = await orders.list(customerId, position, pageSize + 1);
      const page = found.slice(0, pageSize);
      const last = found.length > pageSize ? page.at(-1) : undefined;
      return { orders: page.map(orderMessage), nextPageToken: last ? pageToken(customerId, last) : '' };
    }, log),
  };
}
