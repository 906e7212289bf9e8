import { fileURLToPath } from 'node:url';
import type { ServiceDefinition } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import type { InventoryServiceDefinition } from '../gen/shop/inventory/v1/InventoryService.js';
import type { OrderServiceDefinition } from '../gen/shop/order/v1/OrderService.js';

// `npm run generate` uses the same options for the generated types.
const loaded = loadSync(['shop/order/v1/order_service.proto', 'shop/inventory/v1/inventory_service.proto'], {
  includeDirs: [fileURLToPath(new URL('../../proto', import.meta.url))],
  longs: String,
  enums: String,
  defaults: true,
  oneofs: true,
});

/** The definition of shop.order.v1.OrderService. */
export const orderService = loaded[
  'shop.order.v1.OrderService'
] as ServiceDefinition as OrderServiceDefinition;

/** The definition of shop.inventory.v1.InventoryService. */
export const inventoryService = loaded[
  'shop.inventory.v1.InventoryService'
] as ServiceDefinition as InventoryServiceDefinition;
