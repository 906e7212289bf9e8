/** An encoded message. The protected definition sends the bytes unchanged and does not serialize them. */
export class Verbatim {
  readonly bytes: Buffer;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }
}
