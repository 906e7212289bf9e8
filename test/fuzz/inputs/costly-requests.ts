import fc from 'fast-check';
import { typeNamed } from '../../helpers/codegens/index.js';
import { field, nested } from '../../helpers/messages/append-wire.js';
import { chooseBy, chooseUsual, decisions } from '../../helpers/messages/encoder-choices.js';
import { messages } from '../../helpers/messages/random-message.js';
import { encodeModel } from '../../helpers/messages/random-wire.js';

/** A request of many small pieces. It may cost a server much more time than its sender. */
export interface CostlyRequest {
  readonly shape: keyof typeof shapes;
  readonly order: 'ascending' | 'descending' | 'scattered';
  /** The pieces of the shape `pieces`, in turn. */
  readonly pieces: readonly Uint8Array[];
  /** The approximate size of the request, in bytes. */
  readonly bytes: number;
}

/** Each shape returns the piece with a number. The pieces are fields of the message Everything. */
const shapes = {
  pieces: (number: number, pieces: readonly Uint8Array[]) => pieces[number % pieces.length] as Uint8Array,
  'a map with number keys': (number: number) =>
    nested(32, Buffer.concat([field(1, 'int32', number), nested(2, Buffer.alloc(0))])),
  'a map with text keys': (number: number) =>
    nested(31, Buffer.concat([field(1, 'string', number.toString(36)), field(2, 'string', '')])),
  'a map with one key': () => nested(34, field(1, 'int64', 7)),
  'a message in parts': (number: number) => nested(17, field(3, 'int32', number)),
  'empty parts': () => nested(17, Buffer.alloc(0)),
  'nested parts': (number: number) => nested(17, nested(17, field(3, 'int32', number))),
  'members of a oneof': (number: number) =>
    number % 2 === 0 ? field(37, 'int32', number) : field(38, 'string', 'x'),
  'message members of a oneof': (number: number) =>
    number % 2 === 0 ? nested(39, field(37, 'int32', number)) : nested(40, field(1, 'int64', number)),
  'messages in a list': (number: number) => nested(29, field(3, 'int32', number)),
  'unpacked numbers': (number: number) => field(23, 'int32', number),
  'texts in a list': (number: number) => field(26, 'string', number.toString(36)),
  'unknown fields': (number: number) => field(10_000 + (number % 1_000), 'int32', number),
  'a scalar many times': (number: number) => field(3, 'int32', number),
  'fields from the last to the first': (number: number) =>
    number % 2 === 0 ? field(16, 'int32', 1) : field(14, 'string', 'x'),
};

const pieces = fc
  .array(fc.tuple(messages(typeNamed('test.shapes.v1.Everything')), decisions), {
    minLength: 1,
    maxLength: 3,
  })
  .map((models) =>
    models.map(([model, numbers]) => {
      const wire = encodeModel(model, chooseBy(numbers));
      return wire.length > 0 && wire.length < 200 ? wire : encodeModel([], chooseUsual);
    }),
  )
  .filter((wires) => wires.some((wire) => wire.length > 0));

/** Requests of one shape, at three sizes. */
export const costlyRequests: fc.Arbitrary<CostlyRequest> = fc.record({
  shape: fc.oneof(
    { weight: 1, arbitrary: fc.constant('pieces' as const) },
    { weight: 3, arbitrary: fc.constantFrom(...(Object.keys(shapes) as (keyof typeof shapes)[])) },
  ),
  order: fc.constantFrom('ascending', 'descending', 'scattered'),
  pieces,
  bytes: fc.constantFrom(32_768, 49_152, 65_536),
});

/** Returns the bytes of a request. @param factor multiplies the size */
export function wireOf({ shape, order, pieces: given, bytes }: CostlyRequest, factor: number): Buffer {
  const parts: Uint8Array[] = [];
  for (let size = 0, number = 1; size < bytes * factor; number++) {
    const scattered = (number * 7_919) % 1_000_003;
    const chosen = order === 'ascending' ? number : order === 'descending' ? 10_000_000 - number : scattered;
    const part = shapes[shape](chosen, given);
    size += Math.max(1, part.length);
    parts.push(part);
  }
  return Buffer.concat(parts);
}
