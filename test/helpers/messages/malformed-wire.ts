const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');

/** Bytes that no protobuf decoder may accept, whatever the type of the message. The unknown fields have the number 15. */
export const malformedWire: Readonly<Record<string, Buffer>> = {
  'a tag without a value': hex('78'),
  'a tag that is cut off': hex('f8'),
  'the field number 0': hex('00 01'),
  'a number of 11 bytes': hex('78 ff ff ff ff ff ff ff ff ff ff 01'),
  'a number that is cut off': hex('78 ff ff'),
  'a length beyond the end': hex('7a 05 61'),
  'the length 4294967295': hex('7a ff ff ff ff 0f 61'),
  'a length of more than 32 bits': hex('7a ff ff ff ff 7f 61'),
  'a negative length': hex('7a ff ff ff ff ff ff ff ff ff 01 61'),
  'a 32-bit number that is cut off': hex('7d 01 02 03'),
  'a 64-bit number that is cut off': hex('79 01 02 03 04 05 06 07'),
  'a group without an end': hex('7b 08 01'),
  'the end of another group': hex('7b 84 01'),
  'the end of a group without a start': hex('7c'),
  'the wire type 6': hex('7e 01'),
  'the wire type 7': hex('7f 01'),
  '200 nested groups': Buffer.concat([Buffer.alloc(200, 0x7b), Buffer.alloc(200, 0x7c)]),
  'a million starts of groups': Buffer.alloc(1_000_000, 0x7b),
};

/** Unknown fields of every wire type, all with the number 15. Every decoder skips them. */
export const unknownFields: Buffer = Buffer.concat([
  hex('78 ff ff ff ff ff ff ff ff ff 01'),
  hex('79 01 02 03 04 05 06 07 08'),
  hex('7a 03 61 62 63'),
  hex('7b 08 01 7b 12 01 61 7c 7c'),
  hex('7d 01 02 03 04'),
]);
