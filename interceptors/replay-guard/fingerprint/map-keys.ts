/** How many words of 24 bits hold the beginning of a key. */
const WORDS = 4;
const BYTES_PER_WORD = 3;
/** Up to this number of keys, an insertion sort is faster than a sort by digits. */
const FEW = 32;

/**
 * The keys of the entries of a map, in the order of the wire. Texts are compared by their UTF-16 code units after their
 * decoding: handlers receive decoded keys, and different invalid UTF-8 bytes may decode to the same text. Other keys are
 * compared as texts of their bits: the upper 32 bits, then the lower 32 bits, each as a signed decimal number. Stored
 * fingerprints depend on this order. The sort takes linear time, except for texts that begin with the same 12 bytes, or
 * outside of ASCII with the same 4 code units.
 */
export class MapKeys {
  readonly #buffer: Buffer;
  /** The beginnings of the keys. They are ordered as the keys. Equal beginnings belong to equal keys or to long texts. */
  readonly #words: Int32Array;
  /** The byte ranges of the texts. Empty if the keys are not texts. */
  readonly #ranges: Int32Array;
  /** The decoded texts. Empty while all texts are ASCII, because ASCII bytes have the order of their texts. */
  #texts: string[] = [];
  #isAscii = true;
  #count = 0;

  /** @param count the number of entries */
  constructor(buffer: Buffer, count: number, isText: boolean) {
    this.#buffer = buffer;
    this.#words = new Int32Array(WORDS * count);
    this.#ranges = new Int32Array(isText ? 2 * count : 0);
  }

  /** Adds a text key by its byte range. */
  addText(start: number, end: number): void {
    this.#ranges[2 * this.#count] = start;
    this.#ranges[2 * this.#count + 1] = end;
    let at = start;
    for (let word = 0; word < WORDS; word++) {
      let digits = 0;
      for (let byte = 0; byte < BYTES_PER_WORD; byte++, at++)
        digits = (digits << 8) | (at < end ? (this.#buffer[at] as number) + 1 : 0);
      this.#words[WORDS * this.#count + word] = digits;
    }
    for (at = start; this.#isAscii && at < end; at++) this.#isAscii = (this.#buffer[at] as number) < 128;
    this.#count++;
  }

  /** Adds a key that is not a text, by the bits of its canonical form. */
  addBits(low: number, high: number): void {
    this.#setDecimal(WORDS * this.#count, high);
    this.#setDecimal(WORDS * this.#count + 2, low);
    this.#count++;
  }

  /**
   * Returns the positions of the entries that count, sorted by key. If several entries have the same key, the last entry
   * counts. Returns undefined if the keys are already sorted and all different.
   */
  sorted(): Uint32Array | undefined {
    if (!this.#isAscii) this.#decode();
    const count = this.#count;
    let next = 1;
    while (next < count && this.#compare(next - 1, next) < 0) next++;
    if (next >= count) return undefined;
    const order = count <= FEW ? this.#sortFew() : this.#sortByWords();
    let kept = 0;
    for (let at = 0; at < count; at++) {
      const position = order[at] as number;
      if (at + 1 < count && this.#compare(position, order[at + 1] as number) === 0) continue;
      order[kept++] = position;
    }
    return order.subarray(0, kept);
  }

  #sortFew(): Uint32Array {
    const order = positions(this.#count);
    for (let next = 1; next < order.length; next++) {
      let at = next;
      for (; at > 0 && this.#compare(order[at - 1] as number, next) > 0; at--)
        order[at] = order[at - 1] as number;
      order[at] = next;
    }
    return order;
  }

  /** Sorts by the words, from the last word to the first. Then sorts the texts that begin alike. */
  #sortByWords(): Uint32Array {
    const order = positions(this.#count);
    const words = new Int32Array(this.#count);
    for (let word = WORDS - 1; word >= 0; word--) {
      for (let at = 0; at < order.length; at++)
        words[at] = this.#words[WORDS * (order[at] as number) + word] as number;
      sortByDigits(words, order);
    }
    if (this.#ranges.length > 0) this.#sortLongTexts(order);
    return order;
  }

  #sortLongTexts(order: Uint32Array): void {
    for (let first = 0, next = 1; first < order.length; first = next++) {
      while (next < order.length && this.#compareWords(order[first] as number, order[next] as number) === 0)
        next++;
      if (next - first > 1)
        order.subarray(first, next).sort((one, other) => this.#compareTexts(one, other) || one - other);
    }
  }

  #compare(one: number, other: number): number {
    return this.#compareWords(one, other) || this.#compareTexts(one, other);
  }

  #compareWords(one: number, other: number): number {
    let difference = 0;
    for (let word = 0; difference === 0 && word < WORDS; word++)
      difference =
        (this.#words[WORDS * one + word] as number) - (this.#words[WORDS * other + word] as number);
    return difference;
  }

  /** Compares the texts of two keys. Keys that are not texts are equal here. */
  #compareTexts(one: number, other: number): number {
    if (this.#ranges.length === 0) return 0;
    if (this.#isAscii) return this.#compareBytes(one, other);
    const [text, otherText] = [this.#texts[one] as string, this.#texts[other] as string];
    return text === otherText ? 0 : text < otherText ? -1 : 1;
  }

  /** Compares the bytes that the words do not hold. */
  #compareBytes(one: number, other: number): number {
    const end = this.#range(one, 1);
    const otherEnd = this.#range(other, 1);
    let at = this.#range(one, 0) + WORDS * BYTES_PER_WORD;
    let otherAt = this.#range(other, 0) + WORDS * BYTES_PER_WORD;
    while (at < end && otherAt < otherEnd && this.#buffer[at] === this.#buffer[otherAt]) {
      at++;
      otherAt++;
    }
    if (at < end && otherAt < otherEnd)
      return (this.#buffer[at] as number) - (this.#buffer[otherAt] as number);
    // The text that ends comes first. Short texts end in their words.
    return Math.max(end - at, 0) - Math.max(otherEnd - otherAt, 0);
  }

  #range(position: number, side: 0 | 1): number {
    return this.#ranges[2 * position + side] as number;
  }

  #decode(): void {
    for (let position = 0; position < this.#count; position++) {
      const text = this.#buffer.toString('utf8', this.#range(position, 0), this.#range(position, 1));
      this.#texts.push(text);
      for (let word = 0; word < WORDS; word++)
        this.#words[WORDS * position + word] = word < text.length ? text.charCodeAt(word) + 1 : 0;
    }
  }

  /** Sets two words to a number that orders integers of 32 bits by their decimal texts. */
  #setDecimal(word: number, value: number): void {
    let digits = MAX_DIGITS;
    let aligned = Math.abs(value);
    for (; digits > 1 && aligned < 10 ** (MAX_DIGITS - 1); digits--) aligned *= 10;
    // The sign precedes every digit. The end of a text precedes every digit, too.
    const order = (value < 0 ? 0 : 16 * 10 ** MAX_DIGITS) + 16 * aligned + digits;
    this.#words[word] = Math.floor(order / 2 ** 24);
    this.#words[word + 1] = order % 2 ** 24;
  }
}

/** The digits of the largest integer of 32 bits. */
const MAX_DIGITS = 10;

/**
 * Sorts words, and positions along with them, from the last byte of the words to the first (a radix sort). Equal words
 * keep their order.
 */
function sortByDigits(words: Int32Array, order: Uint32Array): void {
  let differing = 0;
  for (const word of words) differing |= (words[0] as number) ^ word;
  if (differing === 0) return;
  const [sortedWords, sortedOrder] = [new Int32Array(words.length), new Uint32Array(words.length)];
  const ends = new Int32Array(256);
  for (let shift = 0; differing >> shift > 0; shift += 8) {
    if (((differing >> shift) & 255) === 0) continue;
    ends.fill(0);
    for (const word of words) add(ends, (word >> shift) & 255, 1);
    for (let digit = 1; digit < 256; digit++) add(ends, digit, ends[digit - 1] as number);
    for (let at = words.length - 1; at >= 0; at--) {
      const word = words[at] as number;
      const to = add(ends, (word >> shift) & 255, -1);
      sortedWords[to] = word;
      sortedOrder[to] = order[at] as number;
    }
    words.set(sortedWords);
    order.set(sortedOrder);
  }
}

/** Adds a number to a count. Returns the sum. */
function add(counts: Int32Array, index: number, summand: number): number {
  const sum = (counts[index] as number) + summand;
  counts[index] = sum;
  return sum;
}

function positions(count: number): Uint32Array<ArrayBuffer> {
  const all = new Uint32Array(count);
  for (let position = 0; position < count; position++) all[position] = position;
  return all;
}
