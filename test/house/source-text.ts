/**
 * A TypeScript source in two versions of equal length, so that an offset means the same in both. A rule searches in
 * `code`, where comments and the contents of texts are blank, and reads names and specifiers in `text`.
 */
export interface SourceText {
  readonly text: string;
  readonly code: string;
}

/** After one of these words a slash begins a regular expression, not a division. */
const WORDS_BEFORE_EXPRESSION = /\b(?:return|typeof|case|in|of|do|else|void|delete|throw|new|await|yield)$/;

/** Blanks the comments, and the contents of string, template and regular expression literals. */
export function readSource(text: string): SourceText {
  return { text, code: new Scanner(text).scan() };
}

class Scanner {
  readonly #text: string;
  #at = 0;
  #code = '';

  constructor(text: string) {
    this.#text = text;
  }

  scan(): string {
    this.#scanCode(false);
    return this.#code;
  }

  /** Reads code up to the end of the text, or up to the brace that ends a template's expression. */
  #scanCode(inTemplate: boolean): void {
    for (let depth = 0; this.#at < this.#text.length; ) {
      const next = this.#text[this.#at];
      if (this.#startsWith('//')) this.#blankUntil('\n', 0);
      else if (this.#startsWith('/*')) this.#blankUntil('*/', 2);
      else if (next === "'" || next === '"') this.#scanQuoted(next);
      else if (next === '`') this.#scanTemplate();
      else if (next === '/' && this.#isExpressionExpected()) this.#scanRegExp();
      else {
        if (next === '{') depth++;
        if (next === '}' && depth-- === 0 && inTemplate) return;
        this.#keep(1);
      }
    }
  }

  #scanQuoted(quote: string): void {
    this.#keep(1);
    while (this.#at < this.#text.length && !this.#startsWith(quote) && !this.#startsWith('\n')) {
      this.#blank(this.#startsWith('\\') ? 2 : 1);
    }
    this.#keep(1);
  }

  #scanTemplate(): void {
    this.#keep(1);
    while (this.#at < this.#text.length && !this.#startsWith('`')) {
      if (this.#startsWith('${')) {
        this.#keep(2);
        this.#scanCode(true);
        this.#keep(1);
      } else this.#blank(this.#startsWith('\\') ? 2 : 1);
    }
    this.#keep(1);
  }

  #scanRegExp(): void {
    this.#keep(1);
    let inClass = false;
    while (this.#at < this.#text.length && !this.#startsWith('\n')) {
      if (this.#startsWith('/') && !inClass) break;
      if (this.#startsWith('[')) inClass = true;
      if (this.#startsWith(']')) inClass = false;
      this.#blank(this.#startsWith('\\') ? 2 : 1);
    }
    this.#keep(1);
  }

  #isExpressionExpected(): boolean {
    const before = this.#code.slice(-200).trimEnd();
    return before === '' || /[=([{,;:!&|?+*%<>~^}-]$/.test(before) || WORDS_BEFORE_EXPRESSION.test(before);
  }

  #startsWith(part: string): boolean {
    return this.#text.startsWith(part, this.#at);
  }

  #blankUntil(end: string, length: number): void {
    const found = this.#text.indexOf(end, this.#at + length);
    this.#blank((found < 0 ? this.#text.length : found + length) - this.#at);
  }

  #keep(count: number): void {
    this.#code += this.#text.slice(this.#at, this.#at + count);
    this.#at += count;
  }

  /** Line breaks stay, so that both versions have the same lines. */
  #blank(count: number): void {
    this.#code += this.#text.slice(this.#at, this.#at + count).replace(/[^\n]/g, ' ');
    this.#at += count;
  }
}
