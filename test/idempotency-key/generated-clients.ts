import { createRequire } from 'node:module';
import {
  type CallOptions,
  type ChannelCredentials,
  Client,
  type ClientOptions,
  type ClientUnaryCall,
  type handleUnaryCall,
  loadPackageDefinition,
  type Metadata,
  makeGenericClientConstructor,
  type requestCallback,
  type ServiceError,
} from '@grpc/grpc-js';
import protobuf from 'protobufjs/minimal.js';
import { loadLedger } from '../helpers/ledger.js';

/** Calls `Append` of the ledger for an account, by a client of one kind; gives the id of the entry. */
export interface AppendClient {
  append(
    account: string,
    metadata: Metadata,
    options: CallOptions,
    callback: requestCallback<string>,
  ): ClientUnaryCall;
  close(): void;
}

type Open = (address: string, credentials: ChannelCredentials, options: ClientOptions) => AppendClient;

const then =
  <T>(callback: requestCallback<string>, read: (response: T) => string) =>
  (error: ServiceError | null, response?: T) =>
    callback(error, response && read(response));

/** As `loadPackageDefinition` makes them. */
const protoLoader: Open = (address, credentials, options) => {
  const loaded = loadPackageDefinition({ Ledger: loadLedger() });
  const LedgerService = loaded.Ledger as unknown as new (
    ...args: Parameters<Open>
  ) => Client & {
    Append(
      request: { account: string },
      metadata: Metadata,
      options: CallOptions,
      callback: requestCallback<{ entryId: string }>,
    ): ClientUnaryCall;
  };
  const client = new LedgerService(address, credentials, options);
  return {
    append: (account, metadata, given, callback) =>
      client.Append(
        { account },
        metadata,
        given,
        then(callback, ({ entryId }) => entryId),
      ),
    // The service has a method of this name.
    close: () => Client.prototype.close.call(client),
  };
};

// From here as ts-proto writes it with `outputServices=grpc-js`, for the fields that are used.
interface AppendRequest {
  account: string;
}
const AppendRequest = {
  encode: (message: AppendRequest, writer = protobuf.Writer.create()) =>
    writer.uint32(10).string(message.account),
};
interface AppendResponse {
  entryId: string;
}
const AppendResponse = {
  decode(input: Uint8Array): AppendResponse {
    const reader = protobuf.Reader.create(input);
    const message: AppendResponse = { entryId: '' };
    while (reader.pos < reader.len) {
      const tag = reader.uint32();
      if (tag === 10) message.entryId = reader.string();
      else reader.skipType(tag & 7);
    }
    return message;
  },
};
const LedgerServiceService = {
  append: {
    path: '/test.v1.LedgerService/Append' as const,
    requestStream: false as const,
    responseStream: false as const,
    requestSerialize: (value: AppendRequest): Buffer => Buffer.from(AppendRequest.encode(value).finish()),
    requestDeserialize: (): AppendRequest => ({ account: '' }),
    responseSerialize: (): Buffer => Buffer.alloc(0),
    responseDeserialize: (value: Buffer): AppendResponse => AppendResponse.decode(value),
  },
} as const;
interface LedgerServiceServer {
  append: handleUnaryCall<AppendRequest, AppendResponse>;
}
interface LedgerServiceClient extends Client {
  append(
    request: AppendRequest,
    callback: (error: ServiceError | null, response: AppendResponse) => void,
  ): ClientUnaryCall;
  append(
    request: AppendRequest,
    metadata: Metadata,
    options: Partial<CallOptions>,
    callback: (error: ServiceError | null, response: AppendResponse) => void,
  ): ClientUnaryCall;
}
const LedgerServiceClient = makeGenericClientConstructor(
  LedgerServiceService,
  'test.v1.LedgerService',
) as unknown as {
  new (
    address: string,
    credentials: ChannelCredentials,
    options?: Partial<ClientOptions>,
  ): LedgerServiceClient;
  service: LedgerServiceServer;
};

const tsProto: Open = (address, credentials, options) => {
  const client = new LedgerServiceClient(address, credentials, options);
  return {
    append: (account, metadata, given, callback) =>
      client.append(
        { account },
        metadata,
        given,
        then(callback, ({ entryId }) => entryId),
      ),
    close: () => client.close(),
  };
};

/** A message that protoc generated for google-protobuf; its one field is where the ledger's messages have theirs. */
interface StringValue {
  getValue(): string;
  setValue(value: string): StringValue;
  serializeBinary(): Uint8Array;
}
const { StringValue } = createRequire(import.meta.url)('google-protobuf/google/protobuf/wrappers_pb.js') as {
  StringValue: { new (): StringValue; deserializeBinary(bytes: Uint8Array): StringValue };
};

/** As protoc-gen-grpc-node writes them, around messages of google-protobuf. */
const googleProtobuf: Open = (address, credentials, options) => {
  const serialize = (message: StringValue) => {
    if (!(message instanceof StringValue)) throw new Error('Expected argument of type StringValue');
    return Buffer.from(message.serializeBinary());
  };
  const deserialize = (bytes: Uint8Array) => StringValue.deserializeBinary(new Uint8Array(bytes));
  const append = {
    path: '/test.v1.LedgerService/Append',
    requestStream: false,
    responseStream: false,
    requestType: StringValue,
    responseType: StringValue,
    requestSerialize: serialize,
    requestDeserialize: deserialize,
    responseSerialize: serialize,
    responseDeserialize: deserialize,
  };
  const Constructor = makeGenericClientConstructor({ append }, 'LedgerService') as unknown as {
    new (
      ...args: Parameters<Open>
    ): Client & {
      append(
        request: StringValue,
        metadata: Metadata,
        options: CallOptions,
        callback: (error: ServiceError | null, response: StringValue) => void,
      ): ClientUnaryCall;
    };
  };
  const client = new Constructor(address, credentials, options);
  return {
    append: (account, metadata, given, callback) =>
      client.append(
        new StringValue().setValue(account),
        metadata,
        given,
        then(callback, (response) => response.getValue()),
      ),
    close: () => client.close(),
  };
};

/** Clients of every kind that this is used with, by what generates them. */
export const generatedClients = { protoLoader, tsProto, googleProtobuf };
