import { createRequire } from 'node:module';
import type { ServiceDefinition } from '@grpc/grpc-js';
import { type Codegen, type Item, type Parcel, timestampOf } from './parcel.js';

type Setters = Record<string, (...args: unknown[]) => unknown> & { serializeBinary(): Uint8Array };
type Class = { new (): Setters; deserializeBinary(bytes: Uint8Array): Setters };

const require = createRequire(import.meta.url);
const classes: Record<
  'Meta' | 'Item' | 'SendRequest' | 'SendResponse',
  Class
> = require('../../../../test/protos-static/parcel_pb.cjs');
const { Timestamp } = require('google-protobuf/google/protobuf/timestamp_pb.js') as { Timestamp: Class };

/** Static classes of google-protobuf, with service definitions as grpc-tools generates them. */
export const googleProtobuf: Codegen = {
  ...{ name: 'google-protobuf', isBare: true, service: definition(), message: messageOf },
  get methods() {
    return this.service as unknown as Codegen['methods'];
  },
  response: () => new classes.SendResponse(),
};

function definition(): ServiceDefinition {
  const codecs = (type: Class) => ({
    serialize: (message: Setters) => Buffer.from(message.serializeBinary()),
    deserialize: (bytes: Buffer) => type.deserializeBinary(new Uint8Array(bytes)),
  });
  const request = codecs(classes.SendRequest);
  const response = codecs(classes.SendResponse);
  const methods = ['Send', 'Track', 'Find'].map((name) => ({
    path: `/test.codegen.v1.ParcelService/${name}`,
    ...{ requestStream: false, responseStream: false },
    ...{ requestType: classes.SendRequest, responseType: classes.SendResponse },
    ...{ requestSerialize: request.serialize, requestDeserialize: request.deserialize },
    ...{ responseSerialize: response.serialize, responseDeserialize: response.deserialize },
  }));
  return Object.fromEntries(methods.map((method) => [method.path.split('/')[2], method]));
}

function messageOf(parcel: Parcel): Setters {
  const { meta, items, notes, boxes, payment, clientTimeMs, marks, comment, ...scalars } = parcel;
  const message = filled(new classes.SendRequest(), scalars);
  if (meta) message.setMeta?.(filled(new classes.Meta(), meta));
  message.setItemsList?.(items.map(itemOf));
  message.setMarksList?.([...marks]);
  const notesMap = message.getNotesMap?.() as Map<string, string>;
  for (const [key, note] of notes) notesMap.set(key, note);
  const boxesMap = message.getBoxesMap?.() as Map<number, Setters>;
  for (const [key, box] of boxes) boxesMap.set(key, itemOf(box));
  if (payment) filled(message, 'goods' in payment ? { goods: itemOf(payment.goods) } : payment);
  if (comment !== undefined) message.setComment?.(comment);
  if (clientTimeMs !== undefined) message.setClientTime?.(filled(new Timestamp(), timestampOf(clientTimeMs)));
  return message;
}

const itemOf = (item: Item) => filled(new classes.Item(), item);

function filled(message: Setters, values: object): Setters {
  for (const [name, value] of Object.entries(values))
    message[`set${name[0]?.toUpperCase()}${name.slice(1)}`]?.(value);
  return message;
}
