import type { SourceText } from './source-text.js';

/** One import of a source: a statement, a re-export, `import('…')` as an expression or as a type. */
export interface Import {
  readonly specifier: string;
  readonly line: number;
}

const NAMES = String.raw`(?:\*(?:\s+as\s+[\w$]+)?|\{[^}]*\}|[\w$]+(?:\s*,\s*(?:\{[^}]*\}|\*\s+as\s+[\w$]+))?)`;

/** Each form ends right after the quote that begins the specifier. */
const forms = [
  new RegExp(String.raw`(?<![\w$.])(?:import|export)\s*(?:type\b\s*)?${NAMES}\s*from\s*(?=['"])`, 'g'),
  /(?<![\w$.])import\s*(?=['"])/g,
  /(?<![\w$.])import\s*\(\s*(?=['"`])/g,
  /(?<![\w$.])require\s*\(\s*(?=['"`])/g,
];

/** Reads the imports of a source, in their order. A specifier that the program computes is omitted. */
export function importsOf({ text, code }: SourceText): Import[] {
  return forms
    .flatMap((form) => [...code.matchAll(form)].map((match) => match.index + match[0].length))
    .sort((a, b) => a - b)
    .flatMap((start) => {
      const end = code.indexOf(code.charAt(start), start + 1);
      // An expression inside a template is code: the specifier is not constant.
      if (code.slice(start + 1, end).trim() !== '') return [];
      return [{ specifier: text.slice(start + 1, end), line: text.slice(0, start).split('\n').length }];
    });
}
