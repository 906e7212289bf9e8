import { status } from '@grpc/grpc-js';
import test from 'ava';
import { orderService } from '#src/rpc/definitions.js';
import { failureOf, openShop, type Shop, stock } from '../helpers/servers/shop.js';

const { PlaceOrder, CancelOrder, GetOrder, ListOrders } = orderService;

const lines = [{ sku: 'a', quantity: 1 }];
const manyLabels = Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`k${i}`, '']));

type Case = [what: string, call: (shop: Shop) => Promise<unknown>, fields: string[]];

const refused: Case[] = [
  ['an empty order', (s) => s.callOrder(PlaceOrder, {}), ['customer_id', 'lines']],
  [
    'every field of an order',
    (s) =>
      s.callOrder(PlaceOrder, {
        customerId: 'c'.repeat(129),
        lines: [{ sku: 'a\u0007' }],
        labels: { '': 'x', ['k'.repeat(64)]: '', fine: 'v'.repeat(256) },
      }),
    ['customer_id', 'labels', 'labels', 'labels', 'lines[0].quantity', 'lines[0].sku'],
  ],
  [
    'too many labels',
    (s) => s.callOrder(PlaceOrder, { customerId: 'c', lines, labels: manyLabels }),
    ['labels'],
  ],
  [
    'a cancellation without an order id, with a long reason',
    (s) => s.callOrder(CancelOrder, { reason: 'r'.repeat(501) }),
    ['order_id', 'reason'],
  ],
  [
    'a reason with a control character',
    (s) => s.callOrder(CancelOrder, { orderId: 'o', reason: '\u0007' }),
    ['reason'],
  ],
  ['a look-up without an order id', (s) => s.callOrder(GetOrder, {}), ['order_id']],
  [
    'a negative page size without a customer',
    (s) => s.callOrder(ListOrders, { pageSize: -1 }),
    ['customer_id', 'page_size'],
  ],
];

test('a request with wrong fields is refused, and the refusal names every field', async (t) => {
  const shop = await openShop(t, 'sqlite');
  for (const [what, call, fields] of refused) {
    const failure = await failureOf(call(shop));
    t.deepEqual([failure.code, failure.fields], [status.INVALID_ARGUMENT, fields], what);
  }
});

test('a page token of another list, or a malformed token, is refused', async (t) => {
  const shop = await openShop(t, 'sqlite');
  await stock(shop, 'a', 3);
  for (let i = 0; i < 3; i++) await shop.callOrder(PlaceOrder, { customerId: 'c', lines });
  const { nextPageToken } = await shop.callOrder(ListOrders, { customerId: 'c', pageSize: 1 });
  const forged = Buffer.from('["c","not a time","id"]').toString('base64url');
  for (const pageToken of ['!', 'AAAA', 'bnVsbA', forged, nextPageToken.slice(0, -4)]) {
    const failure = await failureOf(shop.callOrder(ListOrders, { customerId: 'c', pageToken }));
    t.deepEqual([failure.code, failure.fields], [status.INVALID_ARGUMENT, ['page_token']], pageToken);
  }
  const other = shop.callOrder(ListOrders, { customerId: 'other', pageToken: nextPageToken });
  t.deepEqual((await failureOf(other)).fields, ['page_token']);
});

test('values at the bounds are accepted', async (t) => {
  const shop = await openShop(t, 'sqlite');
  await stock(shop, 'a', 1_000_000);
  const labels = Object.fromEntries(
    Array.from({ length: 32 }, (_, i) => [`${i}`.padEnd(63, 'ü'), 'v'.repeat(255)]),
  );
  const customerId = '顧'.repeat(128);
  const { order } = await shop.callOrder(PlaceOrder, {
    customerId,
    lines: [{ sku: 'a', quantity: 1_000_000 }],
    labels,
  });
  t.like(order, { customerId, labels });
  const reason = `${'x'.repeat(249)}\n${'👍'.repeat(250)}`;
  await t.notThrowsAsync(shop.callOrder(CancelOrder, { orderId: order?.orderId ?? '', reason }));
});
