import type { OrderServiceHandlers } from '../gen/shop/order/v1/OrderService.js';
import type { Log } from '../platform/log.js';
import { parseRequest } from '../rpc/parse-request.js';
import { unary } from '../rpc/unary.js';
import { cancelOrder } from './cancel-order.js';
import { orderMessage } from './messages.js';
import { Orders } from './orders.js';
import { pageToken } from './page-token.js';
import { type PlaceOrderOptions, placeOrder } from './place-order.js';
import * as requests from './requests.js';

const DEFAULT_HOLD_MS = 15 * 60_000;

/** The options of `createOrderHandlers`. */
export interface OrderHandlersOptions extends Omit<PlaceOrderOptions, 'holdMs'> {
  /** How long the stock is held until the order is confirmed, in milliseconds. Default: 15 minutes. */
  readonly holdMs?: number;
  readonly log?: Log;
}

/** Makes the handlers of shop.order.v1.OrderService. */
export function createOrderHandlers(options: OrderHandlersOptions): OrderServiceHandlers {
  const placing: PlaceOrderOptions = { ...options, holdMs: options.holdMs ?? DEFAULT_HOLD_MS };
  const { log } = options;
  const orders = new Orders(options.database);

  return {
    PlaceOrder: unary(async (request) => {
      const newOrder = parseRequest(requests.placeOrder, request);
      return { order: orderMessage(await placeOrder(placing, newOrder)) };
    }, log),

    CancelOrder: unary(async (request) => {
      const { orderId, reason } = parseRequest(requests.cancelOrder, request);
      return { order: orderMessage(await cancelOrder(options, orderId, reason)) };
    }, log),

    GetOrder: unary(async (request) => {
      const { orderId } = parseRequest(requests.getOrder, request);
      return { order: orderMessage(await orders.get(orderId)) };
    }, log),

    ListOrders: unary(async (request) => {
      const { customerId, pageSize, position } = parseRequest(requests.listOrders, request);
      // One extra order shows whether there is another page.
      const found = await orders.list(customerId, position, pageSize + 1);
      const page = found.slice(0, pageSize);
      const last = found.length > pageSize ? page.at(-1) : undefined;
      return { orders: page.map(orderMessage), nextPageToken: last ? pageToken(customerId, last) : '' };
    }, log),
  };
}
