import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, extname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const NOT_OURS = new Set(['node_modules', 'dist', 'gen']);

/** The files of the repository with one of these extensions. */
function filesWith(extensions: readonly string[], folder = root): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    const isOurs = !NOT_OURS.has(entry.name) && !entry.name.startsWith('.');
    if (entry.isDirectory()) return isOurs ? filesWith(extensions, path) : [];
    return extensions.includes(extname(entry.name)) ? [path] : [];
  });
}

function withoutCodeBlocks(markdown: string): string {
  return markdown.replaceAll(/^```.*?^```$/gms, '');
}

/** Returns the anchor that GitHub and npm give a heading. */
function anchorOf(heading: string): string {
  const text = heading.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1');
  return text
    .trim()
    .toLowerCase()
    .replaceAll(/[^\p{Letter}\p{Number}\s_-]/gu, '')
    .replaceAll(/\s/g, '-');
}

/** Returns the anchors of a document. The anchor of a repeated heading ends in a number. */
function anchorsOf(path: string): ReadonlySet<string> {
  const anchors = new Set<string>();
  for (const [, heading = ''] of withoutCodeBlocks(readFileSync(path, 'utf8')).matchAll(/^#{1,6} (.+)$/gm)) {
    const anchor = anchorOf(heading);
    let unique = anchor;
    for (let count = 1; anchors.has(unique); count++) unique = `${anchor}-${count}`;
    anchors.add(unique);
  }
  return anchors;
}

/** Returns the reason why a link is broken; undefined if its target exists or is outside the repository. */
function faultOf(document: string, link: string): string | undefined {
  if (/^[a-z][a-z+.-]*:/i.test(link)) return undefined;
  const [path = '', anchor] = link.split('#', 2);
  const target = path === '' ? document : resolve(dirname(document), decodeURIComponent(path));
  if (!existsSync(target)) return 'no such file';
  if (anchor === undefined) return undefined;
  return extname(target) === '.md' && anchorsOf(target).has(anchor) ? undefined : 'no such heading';
}

function linksOf(markdown: string): string[] {
  const text = withoutCodeBlocks(markdown).replaceAll(/(`+).+?\1/g, '');
  return [...text.matchAll(/\]\(<?([^)\s>]+)>?(?: "[^"]*")?\)/g)].map(([, link = '']) => link);
}

const documents = filesWith(['.md']);

test('every relative link and anchor in a Markdown file has a target', (t) => {
  const links = documents.flatMap((path) =>
    linksOf(readFileSync(path, 'utf8')).map((link) => ({ path, link, fault: faultOf(path, link) })),
  );
  t.true(links.length > 50, 'the links are found');
  const broken = links.filter(({ fault }) => fault !== undefined);
  t.deepEqual(
    broken.map(({ path, link, fault }) => `${relative(root, path)}: ${link}: ${fault}`),
    [],
  );
});

test('every document that a source file names exists', (t) => {
  const missing = filesWith(['.ts', '.js', '.proto']).flatMap((path) => {
    const named = readFileSync(path, 'utf8').matchAll(/(?<![\w/$}])docs\/[\w./-]+\.md/g);
    return [...named]
      .filter(([document]) => !existsSync(join(root, document)))
      .map(([document]) => `${path}: ${document}`);
  });
  t.deepEqual(missing, []);
});

/** Returns each path that a path with braces names: `a/{b,c}.ts` names two files. */
function expandBraces(path: string): string[] {
  const [, before, names, after] = /^(.*?)\{([^}]+)\}(.*)$/.exec(path) ?? [];
  if (names === undefined) return [path];
  return names.split(',').flatMap((name) => expandBraces(`${before}${name}${after}`));
}

/** The folders that paths in docs/architecture.md are relative to. */
const bases = ['interceptors', 'interceptors/replay-guard', '.'];

test('every file and folder that docs/architecture.md names exists', (t) => {
  const text = withoutCodeBlocks(readFileSync(join(root, 'docs/architecture.md'), 'utf8'));
  const named = [...text.matchAll(/`([\w{},./<>-]+\/[\w{},.-]*)`/g)].map(([, path = '']) => path);
  t.true(named.length > 50, 'the paths are found');
  const missing = named
    .filter((path) => !path.includes('<'))
    .flatMap(expandBraces)
    .filter((path) => !bases.some((base) => existsSync(join(root, base, path))));
  t.deepEqual([...new Set(missing)], []);
});

/** The tests that docs/reference/security.md names: a file, and a part of a title or only the file. */
const NAMED_TEST = /`(test\/[\w/.-]+|interceptors\/[\w/.-]+)`(?: \*([^*]+)\*)?/g;

test('every test that docs/reference/security.md names exists, with its title', (t) => {
  const text = readFileSync(join(root, 'docs/reference/security.md'), 'utf8');
  const named = [...text.matchAll(NAMED_TEST)].map(([, path = '', title = '']) => ({ path, title }));
  t.true(named.length > 30, 'the tests are found');
  const missing = named.filter(({ path, title }) => {
    const file = join(root, path);
    // A title in quotes may have a backslash before an apostrophe.
    return !existsSync(file) || !readFileSync(file, 'utf8').replaceAll("\\'", "'").includes(title);
  });
  t.deepEqual(missing, []);
});

test('every protection in docs/reference/security.md names a test', (t) => {
  const lines = readFileSync(join(root, 'docs/reference/security.md'), 'utf8').split('\n');
  const tables = lines.filter(
    (line, index) => line.startsWith('|') && headOf(lines, index).includes('| test |'),
  );
  const rows = tables.filter((line) => !line.startsWith('|-') && !line.includes('| test |'));
  t.true(rows.length > 30, 'the rows are found');
  t.deepEqual(
    rows.filter((line) => !new RegExp(NAMED_TEST).test(line)),
    [],
  );
});

/** Returns the first line of the table that has a line. */
function headOf(lines: readonly string[], index: number): string {
  let first = index;
  while (lines[first - 1]?.startsWith('|')) first--;
  return String(lines[first]);
}
