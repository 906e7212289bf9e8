import type { SourceText } from './source-text.js';

/** A declaration that a source exports, or a name that it exports from another source. */
export interface Export {
  readonly name: string;
  readonly kind: 'declared' | 'forwarded';
  /** Whether this source shows that the name is exported as a type only. */
  readonly isType: boolean;
  readonly line: number;
  /** Whether a comment of the form `/** … *\/` stands before the declaration. */
  readonly hasDocstring: boolean;
  /** The names of the options without a docstring, of an interface or type named `…Options`. */
  readonly undocumentedOptions: readonly string[];
}

const KEYWORDS =
  'async\\s+function\\*?|function\\*?|abstract\\s+class|class|interface|type|const\\s+enum|enum|const|let';
const declaration = new RegExp(
  String.raw`^(export\s+)?(?:default\s+)?(?:declare\s+)?(${KEYWORDS})\s+([\w$]+)`,
  'gm',
);
const list = /^export\s+(type\s+)?\{([^}]*)\}(\s*from\b)?/gm;

/** Reads the names that a source exports, without the names of `export * from`: see `starsOf`. */
export function exportsOf(source: SourceText): Export[] {
  const declarations = [...source.code.matchAll(declaration)].map((match) => {
    const [, exported, keyword = '', name = ''] = match;
    return { exported: exported !== undefined, ...describe(source, match.index, keyword, name) };
  });
  const found = declarations.filter(({ exported }) => exported).map(({ exported, ...rest }) => rest);
  for (const match of source.code.matchAll(list)) {
    const line = lineOf(source.text, match.index);
    for (const part of (match[2] ?? '').split(',')) {
      const [, type, local = '', renamed] =
        /^\s*(type\s+)?([\w$]+)(?:\s+as\s+([\w$]+))?\s*$/.exec(part) ?? [];
      if (!local) continue;
      const own = match[3] ? undefined : declarations.find(({ name }) => name === local);
      const isType = own?.isType || (type ?? match[1]) !== undefined;
      if (own) found.push({ ...own, name: renamed ?? local, isType });
      else found.push({ ...forwarded, name: renamed ?? local, isType, line });
    }
  }
  const unique = new Map(found.map((one) => [one.name, one] as const).reverse());
  return [...unique.values()].reverse();
}

const forwarded = { kind: 'forwarded', hasDocstring: true, undocumentedOptions: [] } as const;

/** Returns the specifiers of `export * from '…'`. */
export function starsOf({ text, code }: SourceText): string[] {
  return [...code.matchAll(/^export\s+(?:type\s+)?\*\s*from\s*(['"])/gm)].map((match) => {
    const start = match.index + match[0].length;
    return text.slice(start, code.indexOf(match[1] ?? '', start));
  });
}

function describe(source: SourceText, start: number, keyword: string, name: string): Export {
  const isType = keyword === 'interface' || keyword === 'type';
  return {
    name,
    kind: 'declared',
    isType,
    line: lineOf(source.text, start),
    hasDocstring: isDocumented(source, start),
    undocumentedOptions: isType && name.endsWith('Options') ? undocumentedMembers(source, start) : [],
  };
}

/** Returns whether a docstring stands directly before an offset. */
function isDocumented({ text, code }: SourceText, start: number): boolean {
  const between = text.slice(code.slice(0, start).trimEnd().length, start);
  return /\/\*\*(?:[^*]|\*(?!\/))*\*\/\s*(?:\/\/[^\n]*\s*)*$/.test(between);
}

/** Returns the members of a declaration that have no docstring. Members of nested types are omitted. */
function undocumentedMembers(source: SourceText, start: number): string[] {
  const { code } = source;
  const open = code.slice(start).search(/[{;]/) + start;
  const missing: string[] = [];
  if (code[open] !== '{') return missing;
  let memberStart = open + 1;
  for (let at = open + 1, depth = 0; at < code.length && depth >= 0; at++) {
    const next = code.charAt(at);
    if ('{(['.includes(next)) depth++;
    if ('})]'.includes(next)) depth--;
    if (depth > 0 || (next !== ';' && depth === 0)) continue;
    const begin = memberStart + code.slice(memberStart, at).search(/\S|$/);
    const member = source.text.slice(begin, at).replace(/^readonly\s+(?=[^:?(])/, '');
    const [name] = /^(?:[\w$]+|'[^']*'|"[^"]*")/.exec(member) ?? [];
    if (name && !isDocumented(source, begin)) missing.push(name);
    memberStart = at + 1;
  }
  return missing;
}

const lineOf = (text: string, offset: number) => text.slice(0, offset).split('\n').length;
