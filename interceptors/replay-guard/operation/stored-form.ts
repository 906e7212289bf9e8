import { createHmac, randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { Operation } from './operation.js';
import { type Peppers, type RecordIds, type Secret, secretsOf } from './operation-id.js';

/** The maximum number of scopes whose stored form is cached. */
const MAX_SCOPES = 10_000;
/** The maximum length of all scopes whose stored form is cached, in characters. A caller may choose a long name. */
const MAX_SCOPE_CHARACTERS = 10_000_000;

/**
 * How the records of a guard name their operation, under one secret. In the form `keys`, which versions up to 0.2 used,
 * only the id of a record is under the secret. In the form `everything`, the scope and the fingerprint are, too. The store
 * then receives an HMAC in place of each. Both forms of one secret have the same ids.
 */
export class StoredForm {
  readonly secret: Secret;
  readonly coversAll: boolean;
  /** The position of the secret: 0 for the current one, else its position among the others plus 1. */
  readonly #position: number;
  readonly #scopes = new LRUCache<string, string>({
    max: MAX_SCOPES,
    maxSize: MAX_SCOPE_CHARACTERS,
    sizeCalculation: (_stored, scope) => scope.length,
  });
  readonly #scopeKey: Buffer;
  readonly #fingerprintKey: Buffer;

  constructor(secret: Secret, position: number, covers: 'keys' | 'everything') {
    this.secret = secret;
    this.#position = position;
    this.coversAll = covers === 'everything' && secret !== undefined;
    this.#scopeKey = derivedKey(secret, 'grpc-replay-guard scope');
    this.#fingerprintKey = derivedKey(secret, 'grpc-replay-guard fingerprint');
  }

  /** Returns the scope as the store receives it. */
  scope(scope: string): string {
    if (!this.coversAll) return scope;
    const known = this.#scopes.get(scope);
    if (known !== undefined) return known;
    const stored = createHmac('sha256', this.#scopeKey).update(scope).digest('base64url');
    this.#scopes.set(scope, stored);
    return stored;
  }

  /** Returns the operation as the store receives it. */
  operation(operation: Operation): Operation {
    const ids = this.#position === 0 ? operation : (operation.previous[this.#position - 1] as RecordIds);
    if (!this.coversAll) return this.#position === 0 ? operation : { ...operation, ...ids };
    return {
      ...operation,
      id: ids.id,
      ...(ids.series && { series: ids.series }),
      scope: this.scope(operation.scope),
      fingerprint: this.#fingerprint(ids.id, operation.fingerprint),
    };
  }

  /** The id is a part of the input, so that equal requests of two operations do not have equal fingerprints at rest. */
  #fingerprint(id: Buffer, fingerprint: Buffer): Buffer {
    return createHmac('sha256', this.#fingerprintKey).update(id).update(fingerprint).digest();
  }
}

/** The length of the digest of a scope for logs, in characters of 6 bits. */
const DIGEST_LENGTH = 16;

/**
 * Returns the function that names a scope in logs. With a pepper, the digest is the beginning of the scope as a store
 * receives it that holds everything under the pepper. Without a pepper, the digest is under a secret of this process: a
 * plain hash would disclose a scope that can be guessed, such as the number of a customer.
 */
export function scopeDigester(pepper: string | Buffer | Peppers | undefined): (scope: string) => string {
  const form = new StoredForm(secretsOf(pepper).current ?? randomBytes(32), 0, 'everything');
  return (scope) => form.scope(scope).slice(0, DIGEST_LENGTH);
}

/** A key of its own for each purpose. Its input differs from every input of an id, which begins with a short length. */
function derivedKey(secret: Secret, purpose: string): Buffer {
  return createHmac('sha256', secret ?? '')
    .update(purpose)
    .digest();
}
