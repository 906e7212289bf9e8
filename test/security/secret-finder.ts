/** A value that must not leave the product. A text is secret as its characters, a buffer as its bytes. */
export type Secret = string | Buffer;

/** The length of the shortest part of a secret that counts as a disclosure, in characters or bytes. */
const PART_LENGTH = 12;
/** The minimum length of an encoded part, in characters. The index has this many characters of each part. */
const INDEXED_LENGTH = 12;

/** The length of an excerpt. */
const [BEFORE, BEHIND] = [80, 40];

/** A disclosure of a part of a secret: which secret, and in which form. */
export interface Found {
  readonly secret: string;
  readonly form: string;
  /** The characters before and behind the start of the first such part. */
  readonly excerpt: string;
}

/** An encoded part of a secret. Bytes are characters of Latin-1. */
interface Pattern extends Omit<Found, 'excerpt'> {
  readonly text: string;
}

/** Finds secrets in texts and bytes: any 12 consecutive characters of a secret, as they are or in a common encoding. */
export class SecretFinder {
  /** The patterns by their first characters. */
  readonly #patterns = new Map<string, Pattern[]>();

  /** Adds a secret. @throws TypeError when the secret is shorter than the part that is searched for */
  add(secret: string, value: Secret): void {
    const units: readonly (string | number)[] = typeof value === 'string' ? [...value] : [...value];
    if (units.length < PART_LENGTH)
      throw new TypeError(`${secret} must have at least ${PART_LENGTH} characters`);
    for (let start = 0; start + PART_LENGTH <= units.length; start++) {
      const part = units.slice(start, start + PART_LENGTH);
      const bytes =
        typeof value === 'string' ? Buffer.from(part.join('')) : Buffer.from(part as readonly number[]);
      for (const [form, text] of formsOf(bytes)) this.#index({ secret, form, text });
    }
  }

  /** Returns the secrets that a content discloses, each with its forms. */
  find(content: string | Uint8Array): Found[] {
    const text = Buffer.from(content as string).toString('latin1');
    const found = new Map<string, Found>();
    for (let at = 0; at + INDEXED_LENGTH <= text.length; at++) {
      for (const { secret, form, text: part } of this.#patterns.get(text.slice(at, at + INDEXED_LENGTH)) ??
        []) {
        const name = `${secret} ${form}`;
        if (found.has(name) || !text.startsWith(part, at)) continue;
        found.set(name, { secret, form, excerpt: text.slice(Math.max(0, at - BEFORE), at + BEHIND) });
      }
    }
    return [...found.values()];
  }

  #index(pattern: Pattern): void {
    const head = pattern.text.slice(0, INDEXED_LENGTH);
    const others = this.#patterns.get(head) ?? [];
    if (others.some(({ secret, text }) => secret === pattern.secret && text === pattern.text)) return;
    this.#patterns.set(head, [...others, pattern]);
  }
}

/** Yields the forms in which a program may write bytes, each with its name. */
function* formsOf(bytes: Buffer): Generator<[form: string, text: string]> {
  yield ['plain', bytes.toString('latin1')];
  const hex = bytes.toString('hex');
  yield ['hexadecimal', hex];
  yield ['hexadecimal', hex.toUpperCase()];
  for (const encoding of ['base64', 'base64url'] as const) {
    for (const offset of [0, 1, 2]) yield [encoding, embedded(bytes, encoding, offset)];
  }
  yield ['decimal', [...bytes].join(',')];
  const text = bytes.toString();
  const percent = [...text].map(percentEncoded).join('');
  yield ['percent', percent];
  yield ['percent', percent.replaceAll(/%../g, (octet) => octet.toLowerCase())];
  yield ['percent', [...bytes].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('')];
  const escaped = JSON.stringify(text).slice(1, -1);
  yield ['JSON', Buffer.from(escaped).toString('latin1')];
  yield [
    'JSON',
    escaped.replaceAll(/[^ -~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`),
  ];
  // A header value is read as Latin-1. A log then writes it as UTF-8.
  yield ['UTF-8 twice', Buffer.from(bytes.toString('latin1')).toString('latin1')];
  yield ['UTF-16', Buffer.from(text, 'utf16le').toString('latin1')];
}

/** Returns the characters that a value gives, when an encoder gets it behind `offset` other bytes. */
function embedded(bytes: Buffer, encoding: 'base64' | 'base64url', offset: number): string {
  const encoded = Buffer.concat([Buffer.alloc(offset), bytes])
    .toString(encoding)
    .replaceAll('=', '');
  const first = Math.ceil((offset * 8) / 6);
  const last = Math.floor(((offset + bytes.length) * 8) / 6);
  return encoded.slice(first, last);
}

function percentEncoded(character: string): string {
  return Array.from(Buffer.from(character), (byte) =>
    /[\w.~-]/.test(character) ? character : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`,
  ).join('');
}
