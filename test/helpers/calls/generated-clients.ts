import { createRequire } from 'node:module';
import {
  type CallOptions,
  type ChannelCredentials,
  type Client,
  type ClientOptions,
  type ClientUnaryCall,
  loadPackageDefinition,
  type Metadata,
  makeGenericClientConstructor,
  type requestCallback,
  type ServiceDefinition,
  type ServiceError,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { NoteServiceClient } from '../../gen/plain/test/codegen/v1/note.js';
import { protoFolders } from '../codegens/index.js';

/** Calls `Write` of note.proto, by a client of one kind; gives the id of the note. */
export interface NoteClient {
  write(
    text: string,
    metadata: Metadata,
    options: CallOptions,
    callback: requestCallback<string>,
  ): ClientUnaryCall;
  close(): void;
}

type Open = (address: string, credentials: ChannelCredentials, options: ClientOptions) => NoteClient;

/** What grpc-js makes of a definition that has `write`. */
type Constructor<Request, Response> = new (
  ...args: Parameters<Open>
) => Client & {
  write(
    request: Request,
    metadata: Metadata,
    options: CallOptions,
    callback: requestCallback<Response>,
  ): ClientUnaryCall;
};

/** A client of one kind: how it takes the text of a note, and gives its id. */
function noteClient<Request, Response>(
  client: InstanceType<Constructor<Request, Response>>,
  requestOf: (text: string) => Request,
  idOf: (response: Response) => string,
): NoteClient {
  return {
    write: (text, metadata, options, callback) =>
      client.write(requestOf(text), metadata, options, (error: ServiceError | null, response?: Response) =>
        callback(error, response && idOf(response)),
      ),
    close: () => client.close(),
  };
}

const loaded = loadSync('test/codegen/v1/note.proto', { includeDirs: protoFolders });

export const noteService = loaded['test.codegen.v1.NoteService'] as ServiceDefinition;

/** As `loadPackageDefinition` makes them. */
const protoLoader: Open = (...args) => {
  const { NoteService } = loadPackageDefinition({ NoteService: noteService });
  const Loaded = NoteService as unknown as Constructor<{ text: string }, { noteId: string }>;
  return noteClient(
    new Loaded(...args),
    (text) => ({ text }),
    ({ noteId }) => noteId,
  );
};

/** As ts-proto generates them with `outputServices=grpc-js`. */
const tsProto: Open = (...args) =>
  noteClient<{ text: string }, { noteId: string }>(
    new NoteServiceClient(...args),
    (text) => ({ text }),
    ({ noteId }) => noteId,
  );

/** A message that protoc generated for google-protobuf; its one field is where those of note.proto have theirs. */
interface StringValue {
  getValue(): string;
  setValue(value: string): StringValue;
  serializeBinary(): Uint8Array;
}
const { StringValue } = createRequire(import.meta.url)('google-protobuf/google/protobuf/wrappers_pb.js') as {
  StringValue: { new (): StringValue; deserializeBinary(bytes: Uint8Array): StringValue };
};

/**
 * The generator of services for google-protobuf is not to be had from npm without a download of its own: the message
 * class is a generated one, the definition is written here around its serializers, and grpc-js makes the client of
 * it as it does of a generated one.
 */
const googleProtobuf: Open = (...args) => {
  const serialize = (message: StringValue) => Buffer.from(message.serializeBinary());
  const deserialize = (bytes: Uint8Array) => StringValue.deserializeBinary(new Uint8Array(bytes));
  const write = {
    path: '/test.codegen.v1.NoteService/Write',
    ...{ requestStream: false, responseStream: false, requestType: StringValue, responseType: StringValue },
    ...{ requestSerialize: serialize, requestDeserialize: deserialize },
    ...{ responseSerialize: serialize, responseDeserialize: deserialize },
  };
  const Made = makeGenericClientConstructor({ write }, 'NoteService') as unknown as Constructor<
    StringValue,
    StringValue
  >;
  return noteClient(
    new Made(...args),
    (text) => new StringValue().setValue(text),
    (response) => response.getValue(),
  );
};

/** Clients of every kind that this is used with, by what makes them. */
export const generatedClients = { protoLoader, tsProto, googleProtobuf };
