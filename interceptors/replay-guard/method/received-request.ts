import type { MethodDefinition } from '@grpc/grpc-js';
import type { RequestReader } from '../fingerprint/fingerprint.js';

/** The parts of a `ReceivedRequest`. */
interface RequestParts {
  readonly method: Pick<MethodDefinition<unknown, unknown>, 'requestSerialize' | 'requestDeserialize'>;
  readonly read: RequestReader;
  /** The decoded request, as a server without a guard passes it to the handler. */
  readonly message: object;
  /** The received bytes. Undefined if another interceptor has replaced the message. */
  readonly encoded: Buffer | undefined;
}

/** A request of a guarded method. The bytes are read only when the fingerprint is needed. */
export class ReceivedRequest {
  readonly #method: RequestParts['method'];
  readonly #read: RequestReader;
  readonly #message: object;
  #encoded: Buffer | undefined;
  /** Bytes that all decoders read alike, if decoders may disagree on the received bytes. */
  #unambiguous: Buffer | undefined;

  constructor({ method, read, message, encoded }: RequestParts) {
    this.#method = method;
    this.#read = read;
    this.#message = message;
    this.#encoded = encoded;
  }

  /**
   * Returns the fingerprint, 32 bytes, and forgets the received bytes. Must be called once, before a handler can change
   * the decoded message. The time is about the time of a decoding.
   * @throws Error if the request is malformed or nested too deeply
   */
  fingerprint(): Buffer {
    const encoded = this.#encoded ?? this.#method.requestSerialize(this.#message);
    this.#encoded = undefined;
    const { fingerprint, unambiguous } = this.#read(encoded, this.#message);
    this.#unambiguous = unambiguous;
    return fingerprint;
  }

  /**
   * Returns the message of the fingerprint. Decoders disagree on some bytes. For example, protobufjs does not merge the
   * parts of a split message. Such bytes are decoded again, from an encoding that all decoders read alike, so that equal
   * fingerprints mean equal messages. For all other bytes, the result is the decoded request itself.
   */
  fingerprintedMessage(): object {
    if (!this.#unambiguous) return this.#message;
    return this.#method.requestDeserialize(this.#unambiguous) as object;
  }
}

/**
 * The bytes of the received requests of one method, by decoded message. grpc-js passes a message on directly after its
 * decoding, so the last request is usually the one that is taken. A map with weak keys costs the garbage collector more.
 */
export class ReceivedRequests {
  #lastMessage: object | undefined;
  #lastEncoded: Buffer | undefined;
  readonly #earlier = new WeakMap<object, Buffer>();

  /** Remembers the bytes of a message. */
  add(message: object, encoded: Buffer): void {
    if (this.#lastMessage && this.#lastEncoded) this.#earlier.set(this.#lastMessage, this.#lastEncoded);
    this.#lastMessage = message;
    this.#lastEncoded = encoded;
  }

  /** Returns and forgets the bytes of a message. Returns undefined for an unknown message. */
  take(message: object): Buffer | undefined {
    if (message !== this.#lastMessage) {
      const encoded = this.#earlier.get(message);
      this.#earlier.delete(message);
      return encoded;
    }
    const encoded = this.#lastEncoded;
    this.#lastMessage = undefined;
    this.#lastEncoded = undefined;
    return encoded;
  }
}
