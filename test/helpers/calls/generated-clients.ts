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

/** A client of note.proto that hides which generator made it. `write` returns the id of the note. */
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

/** A client class that grpc-js makes from a definition with the method `write`. */
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

/** Adapts a generated client: `requestOf` builds its request, and `idOf` reads its response. */
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

/** The note service as proto-loader defines it. */
export const noteService = loaded['test.codegen.v1.NoteService'] as ServiceDefinition;

/** A client that `loadPackageDefinition` makes. */
const protoLoader: Open = (...args) => {
  const { NoteService } = loadPackageDefinition({ NoteService: noteService });
  const Loaded = NoteService as unknown as Constructor<{ text: string }, { noteId: string }>;
  return noteClient(
    new Loaded(...args),
    (text) => ({ text }),
    ({ noteId }) => noteId,
  );
};

/** A client that ts-proto generates with `outputServices=grpc-js`. */
const tsProto: Open = (...args) =>
  noteClient<{ text: string }, { noteId: string }>(
    new NoteServiceClient(...args),
    (text) => ({ text }),
    ({ noteId }) => noteId,
  );

/** A generated message of google-protobuf. Its one field has the field number of the fields in note.proto. */
interface StringValue {
  getValue(): string;
  setValue(value: string): StringValue;
  serializeBinary(): Uint8Array;
}
const { StringValue } = createRequire(import.meta.url)('google-protobuf/google/protobuf/wrappers_pb.js') as {
  StringValue: { new (): StringValue; deserializeBinary(bytes: Uint8Array): StringValue };
};

/**
 * A client with google-protobuf messages. The npm package of the service generator downloads a binary at install time,
 * so the tests do not use it. The message class is generated. The service definition is written here by hand.
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

/** Constructors of clients by the tool that generates them. */
export const generatedClients = { protoLoader, tsProto, googleProtobuf };
