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

/** Forms that load a module which the import graph cannot follow. A quote with constant text after the form is allowed. */
const hiddenForms = [
  /(?<![\w$.])import\s*\(\s*(?!['"]|`[^`$]*`|\s)/g,
  /(?<![\w$.])createRequire\b/g,
  /(?<![\w$.])import\s*\.\s*meta\s*\.\s*resolve\b/g,
  /(?<![\w$.])new\s+Worker\b/g,
];

/** Returns the lines on which a source loads a module that the import graph cannot follow. */
export function hiddenImportsOf({ text, code }: SourceText): number[] {
  return hiddenForms
    .flatMap((form) => [...code.matchAll(form)].map((match) => match.index))
    .sort((a, b) => a - b)
    .map((start) => text.slice(0, start).split('\n').length);
}

/** Reads the imports of a source, in their order. `hiddenImportsOf` finds a specifier that the program computes. */
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
