import type { ServiceDefinition } from '@grpc/grpc-js';
import type { Method } from '../calls/call.js';

/** The fields of a SendRequest in test/codegen/v1/parcel.proto, independent of the code generator. */
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

/** The fields of an Item. */
export interface Item {
  readonly sku: string;
  readonly quantity: number;
  readonly seenAt: number;
}

/** A SendRequest without set fields. */
export const emptyParcel: Parcel = {
  ...{ receiver: '', weightGrams: 0, rate: 0, fragile: false, speed: 0, label: new Uint8Array() },
  ...{ items: [], marks: [], notes: [], boxes: [] },
};

/** The code that one generator, with one set of options, makes of parcel.proto. */
export interface Codegen {
  readonly name: string;
  /** Whether the definitions have no options and no schema. */
  readonly isBare: boolean;
  readonly service: ServiceDefinition;
  /** The methods of the service, by their names in the `.proto` file. */
  readonly methods: Readonly<Record<'Send' | 'Track' | 'Find', Method<object, object>>>;
  /** Returns a SendRequest as a message of the generator. */
  message(parcel: Parcel): object;
  /** Returns an empty SendResponse as a message of the generator. */
  response(): object;
}

/** The fields of a google.protobuf.Timestamp. */
export const timestampOf = (ms: number) => ({
  seconds: Math.floor(ms / 1_000),
  nanos: (((ms % 1_000) + 1_000) % 1_000) * 1e6,
});
