import Long from 'long';
import * as long from '../../gen/long/test/codegen/v1/parcel.js';
import * as plain from '../../gen/plain/test/codegen/v1/parcel.js';
import * as rich from '../../gen/rich/test/codegen/v1/parcel.js';
import { type Codegen, type emptyParcel, type Item, type Parcel, timestampOf } from './parcel.js';

/** ts-proto with int64 as string, maps as objects, timestamps as Date, and members of oneofs as properties. */
export const tsProtoPlain: Codegen = {
  ...{ name: 'ts-proto', isBare: true, service: plain.ParcelServiceService },
  ...{ methods: methodsOf(plain.ParcelServiceService), response: () => ({ parcelId: '' }) },
  message: ({ weightGrams, items, notes, boxes, payment, clientTimeMs, marks, ...same }) => {
    const item = (from: Item) => ({ ...from, seenAt: String(from.seenAt) });
    return {
      ...{ ...same, weightGrams: String(weightGrams), items: items.map(item), marks: [...marks] },
      ...{ notes: Object.fromEntries(notes), boxes: mapped(boxes, item) },
      ...(payment && 'goods' in payment ? { goods: item(payment.goods) } : payment),
      ...(clientTimeMs !== undefined && { clientTime: new Date(clientTimeMs) }),
    };
  },
};

/** ts-proto with int64 as bigint, maps as Map, names in snake_case, oneofs as unions, and unknown fields. */
export const tsProtoRich: Codegen = {
  ...{ name: 'ts-proto with every option', isBare: true, service: rich.ParcelServiceService },
  ...{ methods: methodsOf(rich.ParcelServiceService), response: () => ({ parcel_id: '' }) },
  message: (parcel) => {
    const item = ({ seenAt, ...same }: Item) => ({ ...same, seen_at: BigInt(seenAt) });
    const { receiver, rate, fragile, speed, label, comment } = parcel;
    return {
      ...{ receiver, rate, fragile, speed, label, comment, marks: [...parcel.marks] },
      meta: parcel.meta && { request_id: parcel.meta.requestId, trace: parcel.meta.trace },
      ...{ weight_grams: BigInt(parcel.weightGrams), items: parcel.items.map(item) },
      ...{ notes: new Map(parcel.notes), boxes: new Map(parcel.boxes.map(([key, box]) => [key, item(box)])) },
      payment: richPayment(parcel.payment, item),
      client_time: parcel.clientTimeMs === undefined ? undefined : bigTimestamp(parcel.clientTimeMs),
    } satisfies rich.SendRequest;
  },
};

/** ts-proto with int64 as Long, and oneofs as `{ $case, value }`. */
export const tsProtoLong: Codegen = {
  ...{ name: 'ts-proto with Long', isBare: true, service: long.ParcelServiceService },
  ...{ methods: methodsOf(long.ParcelServiceService), response: () => ({ parcelId: '' }) },
  message: ({ weightGrams, items, notes, boxes, payment, clientTimeMs, marks, ...same }) => {
    const item = (from: Item) => ({ ...from, seenAt: Long.fromNumber(from.seenAt) });
    const [[$case, value] = []] = Object.entries(payment ?? {});
    return {
      ...{ ...same, weightGrams: Long.fromNumber(weightGrams), items: items.map(item), marks: [...marks] },
      ...{ notes: Object.fromEntries(notes), boxes: mapped(boxes, item) },
      ...($case && { payment: { $case, value: $case === 'goods' ? item(value) : value } }),
      ...(clientTimeMs !== undefined && { clientTime: new Date(clientTimeMs) }),
    };
  },
};

const bigTimestamp = (ms: number) => ({ ...timestampOf(ms), seconds: BigInt(timestampOf(ms).seconds) });

function richPayment<I>(payment: Parcel['payment'], item: (from: Item) => I) {
  if (!payment) return undefined;
  if ('goods' in payment) return { $case: 'goods' as const, goods: item(payment.goods) };
  return 'card' in payment
    ? { $case: 'card' as const, card: payment.card }
    : { $case: 'voucher' as const, voucher: payment.voucher };
}

const mapped = <I>(boxes: typeof emptyParcel.boxes, item: (from: Item) => I): Record<number, I> =>
  Object.fromEntries(boxes.map(([key, box]) => [key, item(box)]));

/** Renames the methods, which ts-proto names in camelCase. */
function methodsOf(service: Record<'send' | 'track' | 'find', unknown>): Codegen['methods'] {
  return { Send: service.send, Track: service.track, Find: service.find } as Codegen['methods'];
}
