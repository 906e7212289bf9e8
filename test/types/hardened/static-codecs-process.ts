// Guarded servers with the static codecs of every code generator, in a process that cannot generate code from strings.
// The argument is the path of a descriptor set with the parcel service. Prints the results of the calls of each
// generator as JSON.
import { readFileSync } from 'node:fs';
import {
  credentials,
  Metadata,
  makeGenericClientConstructor,
  Server,
  ServerCredentials,
  type ServiceError,
  type sendUnaryData,
} from '@grpc/grpc-js';
import { createReplayGuard, singleTenant } from 'grpc-replay-guard';
import { MemoryStore } from 'grpc-replay-guard/memory';
import { readStatusDetails } from 'grpc-replay-guard/protocol';
import { googleProtobuf } from '../../helpers/codegens/google-protobuf.js';
import { type Codegen, emptyParcel, type Parcel } from '../../helpers/codegens/parcel.js';
import { protobufEs } from '../../helpers/codegens/protobuf-es.js';
import { tsProtoLong, tsProtoPlain, tsProtoRich } from '../../helpers/codegens/ts-proto.js';

const descriptors = readFileSync(process.argv[2] ?? '');
const parcel: Parcel = {
  ...{ ...emptyParcel, receiver: 'ann', meta: { requestId: 'key-1', trace: 't' }, clientTimeMs: 1_000 },
  notes: [
    ['a', '1'],
    ['b', '2'],
  ],
};

/** Sends a parcel, an equal parcel with another excluded time, another parcel with its key, and one without a key. */
async function results(codegen: Codegen): Promise<readonly string[]> {
  const guard = createReplayGuard({ store: new MemoryStore(), scope: singleTenant(), descriptors });
  const server = new Server({ interceptors: [guard.interceptor] });
  const handler = (_call: unknown, callback: sendUnaryData<object>) => callback(null, codegen.response());
  const handlers = Object.keys(codegen.service).map((name) => [name, handler]);
  server.addService(guard.protect(codegen.service), Object.fromEntries(handlers));
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    ),
  );
  const Client = makeGenericClientConstructor({}, 'ParcelService');
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
  const { path, requestSerialize, responseDeserialize } = codegen.methods.Send;
  const send = (request: Parcel) =>
    new Promise<string>((resolve) => {
      let result = 'executed';
      const message = codegen.message(request);
      const answered = (error: ServiceError | null) => {
        const [details] = error?.metadata.get('grpc-status-details-bin') ?? [];
        const read = Buffer.isBuffer(details) ? readStatusDetails(details) : {};
        if (error) result = read.errorInfo?.reason ?? error.details;
      };
      client
        .makeUnaryRequest(path, requestSerialize, responseDeserialize, message, new Metadata(), answered)
        .on('status', ({ metadata }) => {
          const isReplay = metadata.get('idempotent-replayed').length > 0;
          setImmediate(() => resolve(isReplay ? 'replayed' : result));
        });
    });
  const { meta: _, ...withoutKey } = parcel;
  const sent = [
    ...[await send(parcel), await send({ ...parcel, notes: parcel.notes.toReversed(), clientTimeMs: 2_000 })],
    ...[await send({ ...parcel, receiver: 'bob' }), await send(withoutKey)],
  ];
  client.close();
  server.forceShutdown();
  await guard.close();
  return sent;
}

const codegens = [tsProtoPlain, tsProtoRich, tsProtoLong, protobufEs, googleProtobuf];
const ofEach: Record<string, readonly string[]> = {};
for (const codegen of codegens) ofEach[codegen.name] = await results(codegen);
process.stdout.write(JSON.stringify(ofEach));
