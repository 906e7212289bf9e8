import { KEY_HEADER } from 'grpc-replay-guard/protocol';
import { type Address, formatAddress, isLoopback } from '../config/address.js';
import type { CallerIdentity } from '../config/caller-identity.js';
import type { Config } from '../config/config.js';

/** Returns a text for people: the addresses of the listeners and a first command to try. */
export function welcome(config: Config, grpc: Address, ops: Address): string {
  return [
    '',
    `  gRPC        ${formatAddress(grpc)}${config.tls ? ' (TLS)' : ''}, services: ${[...config.services].join(', ')}`,
    `  operations  http://${formatAddress(ops)}/readyz, /livez, /metrics`,
    '',
    '  Try:',
    '',
    ...firstCommand(config, grpc).map((line) => `    ${line}`),
    '',
    '',
  ].join('\n');
}

const PUT_ITEM = {
  method: 'shop.inventory.v1.InventoryService/PutItem',
  request: { sku: 'tea', name: 'Green tea', unitPriceMinor: '450', currency: 'EUR' },
};
const LIST_ORDERS = { method: 'shop.order.v1.OrderService/ListOrders', request: { customerId: 'ada' } };

function firstCommand(config: Config, grpc: Address): string[] {
  const { method, request } = config.services.has('inventory') ? PUT_ITEM : LIST_ORDERS;
  const reachable = isLoopback(grpc) ? grpc : { ...grpc, host: 'localhost' };
  const url = `${config.tls ? 'https' : 'http'}://${formatAddress(reachable)}/${method}`;
  return [
    `npx buf curl --protocol grpc ${transport(config.tls)} \\`,
    ...identityHeader(config.identity).map((header) => `  -H ${header} \\`),
    `  -H '${KEY_HEADER}: my-first-key' \\`,
    `  -d '${JSON.stringify(request)}' \\`,
    `  ${url}`,
  ];
}

function identityHeader(identity: CallerIdentity): string[] {
  if (identity.kind === 'metadata') return [`'${identity.name}: ada'`];
  return identity.kind === 'jwt' ? ['"authorization: Bearer $TOKEN"'] : [];
}

function transport(tls: Config['tls']): string {
  if (!tls) return '--http2-prior-knowledge';
  const trust = `--cacert ${tls.ca ?? tls.clientCa ?? tls.cert}`;
  return tls.clientCa ? `${trust} --cert ${tls.cert} --key ${tls.key}` : trust;
}
