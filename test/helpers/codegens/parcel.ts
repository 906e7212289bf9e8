import type { ServiceDefinition } from '@grpc/grpc-js';
import type { Method } from '../calls/call.js';

/** A SendRequest of test/codegen/v1/parcel.proto, from which each code generator's message is made. */
export interface Parcel {
  readonly meta?: { readonly requestId: string; readonly trace: string };
  readonly receiver: string;
  readonly weightGrams: number;
  readonly rate: number;
  readonly fragile: boolean;
  readonly speed: number;
  readonly label: Uint8Array;
  readonly items: readonly Item[];
  readonly marks: readonly number[];
  readonly notes: readonly (readonly [string, string])[];
  readonly boxes: readonly (readonly [number, Item])[];
  readonly payment?: { readonly card: string } | { readonly goods: Item } | { readonly voucher: string };
  readonly comment?: string;
  readonly clientTimeMs?: number;
}

export interface Item {
  readonly sku: string;
  readonly quantity: number;
  readonly seenAt: number;
}

export const emptyParcel: Parcel = {
  ...{ receiver: '', weightGrams: 0, rate: 0, fragile: false, speed: 0, label: new Uint8Array() },
  ...{ items: [], marks: [], notes: [], boxes: [] },
};

/** One way to generate code from parcel.proto. */
export interface Codegen {
  readonly name: string;
  /** Its definitions carry no options and no schema. */
  readonly isBare: boolean;
  readonly service: ServiceDefinition;
  /** The methods of the service, by their names in the `.proto`. */
  readonly methods: Readonly<Record<'Send' | 'Track' | 'Find', Method<object, object>>>;
  /** The generator's own message. */
  message(parcel: Parcel): object;
  response(): object;
}

export const timestampOf = (ms: number) => ({
  seconds: Math.floor(ms / 1_000),
  nanos: (((ms % 1_000) + 1_000) % 1_000) * 1e6,
});
