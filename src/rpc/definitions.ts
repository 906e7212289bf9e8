import { fileURLToPath } from 'node:url';
import type { ServiceDefinition } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import type { InventoryServiceDefinition } from '../gen/shop/inventory/v1/InventoryService.js';
import type { OrderServiceDefinition } from '../gen/shop/order/v1/OrderService.js';

// The same options as the generated types were made with.
const loaded = loadSync(['shop/order/v1/order_service.proto', 'shop/inventory/v1/inventory_service.proto'], {
  includeDirs: [fileURLToPath(new URL('../../proto', import.meta.url))],
  longs: String,
  enums: String,
  defaults: true,
  oneofs: true,
});

export const orderService = loaded[
  'shop.order.v1.OrderService'
] as ServiceDefinition as OrderServiceDefinition;

export const inventoryService = loaded[
  'shop.inventory.v1.InventoryService'
] as ServiceDefinition as InventoryServiceDefinition;
