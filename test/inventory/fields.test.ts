import { status } from '@grpc/grpc-js';
import test from 'ava';
import { inventoryService } from '#src/rpc/definitions.js';
import { failureOf, openShop, type Shop, stock } from '../helpers/servers/shop.js';

const MAX_SKU = 'x'.repeat(64);

type Case = [what: string, call: (shop: Shop) => Promise<unknown>, fields: string[]];

const { PutItem, ReceiveStock, ReserveStock, ConfirmReservation } = inventoryService;
const { ReleaseReservation, GetItem, GetReservation } = inventoryService;
const tooManyLines = Array.from({ length: 101 }, (_, i) => ({ sku: `s${i}`, quantity: 0 }));
const item = { sku: 'a', name: 'A', unitPriceMinor: 1, currency: 'EUR' };

const refused: Case[] = [
  ['an empty item', (s) => s.callInventory(PutItem, {}), ['currency', 'name', 'sku']],
  [
    'every field of an item',
    (s) =>
      s.callInventory(PutItem, {
        sku: `${MAX_SKU}x`,
        name: 'n'.repeat(201),
        unitPriceMinor: -1,
        currency: 'eur',
      }),
    ['currency', 'name', 'sku', 'unit_price_minor'],
  ],
  ['a control character', (s) => s.callInventory(PutItem, { ...item, sku: 'a\u0000b' }), ['sku']],
  ['a line break', (s) => s.callInventory(PutItem, { ...item, name: 'a\nb' }), ['name']],
  [
    'a price above 10^12',
    (s) => s.callInventory(PutItem, { ...item, unitPriceMinor: '1000000000001' }),
    ['unit_price_minor'],
  ],
  ['a receipt without fields', (s) => s.callInventory(ReceiveStock, {}), ['quantity', 'sku']],
  [
    'a receipt of more than a million pieces',
    (s) => s.callInventory(ReceiveStock, { sku: 'a', quantity: 1_000_001 }),
    ['quantity'],
  ],
  ['no lines', (s) => s.callInventory(ReserveStock, { lines: [] }), ['lines']],
  ['too many lines', (s) => s.callInventory(ReserveStock, { lines: tooManyLines }), ['lines']],
  [
    'every line',
    (s) =>
      s.callInventory(ReserveStock, {
        lines: [{ sku: '', quantity: 1 }, { sku: 'a' }, { sku: 'b', quantity: 4_000_000_000 }],
        hold: { seconds: 0, nanos: 999_000_000 },
      }),
    ['hold', 'lines[0].sku', 'lines[1].quantity', 'lines[2].quantity'],
  ],
  [
    'a sum above a million',
    (s) =>
      s.callInventory(ReserveStock, {
        lines: [
          { sku: 'a', quantity: 600_000 },
          { sku: 'b', quantity: 1 },
          { sku: 'a', quantity: 600_000 },
        ],
      }),
    ['lines[2].quantity'],
  ],
  [
    'a hold above a day',
    (s) =>
      s.callInventory(ReserveStock, {
        lines: [{ sku: 'a', quantity: 1 }],
        hold: { seconds: 86_400, nanos: 1e6 },
      }),
    ['hold'],
  ],
  [
    'a hold above the safe integers',
    (s) =>
      s.callInventory(ReserveStock, {
        lines: [{ sku: 'a', quantity: 1 }],
        hold: { seconds: '9223372036854775807', nanos: 0 },
      }),
    ['hold'],
  ],
  [
    'a confirmation without a reservation id',
    (s) => s.callInventory(ConfirmReservation, {}),
    ['reservation_id'],
  ],
  ['a release without a reservation id', (s) => s.callInventory(ReleaseReservation, {}), ['reservation_id']],
  ['a look-up without a reservation id', (s) => s.callInventory(GetReservation, {}), ['reservation_id']],
  ['a look-up with a sku that is too long', (s) => s.callInventory(GetItem, { sku: `${MAX_SKU}x` }), ['sku']],
];

test('a request with wrong fields is refused, and the refusal names every field', async (t) => {
  const shop = await openShop(t, 'sqlite');
  for (const [what, call, fields] of refused) {
    const failure = await failureOf(call(shop));
    t.deepEqual([failure.code, failure.fields], [status.INVALID_ARGUMENT, fields], what);
  }
});

test('a refusal of a hundred wrong lines names 64 fields and fits into the trailers', async (t) => {
  const shop = await openShop(t, 'sqlite');
  const lines = Array.from({ length: 100 }, () => ({ sku: '', quantity: 0 }));
  const { fields } = await failureOf(shop.callInventory(ReserveStock, { lines }));
  t.is(fields?.length, 65);
});

test('values at the bounds are accepted', async (t) => {
  const shop = await openShop(t, 'sqlite');
  const sku = '€'.repeat(64);
  await shop.callInventory(PutItem, {
    sku,
    name: 'ü'.repeat(200),
    unitPriceMinor: 10 ** 12,
    currency: 'XXX',
  });
  await stock(shop, sku, 1_000_000, 0);
  for (const hold of [{ seconds: 1 }, { seconds: 86_400 }]) {
    const lines = [{ sku, quantity: 500_000 }];
    const { reservation } = await shop.callInventory(ReserveStock, { lines, hold });
    t.is(Number(reservation?.expireTime?.seconds) * 1000, shop.clock.now() + hold.seconds * 1000);
  }
});
