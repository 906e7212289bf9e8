/** A series of a scrape: the name and the labels of one sample. */
export interface Series {
  readonly name: string;
  readonly labels: ReadonlyMap<string, string>;
}

/** A selector of an expression: a metric, and the conditions on its labels. */
export interface Selector {
  readonly name: string;
  readonly matchers: readonly Matcher[];
}

interface Matcher {
  readonly label: string;
  readonly operator: '=' | '!=' | '=~' | '!~';
  readonly value: string;
}

/** Labels that Prometheus adds to every series that it scrapes. */
const ADDED = ['job', 'instance'];

/** Returns the series of a page in the text format of Prometheus. */
export function seriesOf(page: string): Series[] {
  return page.split('\n').flatMap((line) => {
    const [, name, labels = ''] = /^(\w+)(?:\{(.*)\})? \S+$/.exec(line) ?? [];
    if (name === undefined) return [];
    return [{ name, labels: new Map(matchersIn(labels).map(({ label, value }) => [label, value])) }];
  });
}

/** Returns the selectors of an expression. A metric is a word with an underscore that begins as our metrics do. */
export function selectorsOf(expression: string): Selector[] {
  const selectors = expression.matchAll(
    /\b((?:replay_guard|shop|process|nodejs)_\w+)(?:\{((?:"[^"]*"|[^}"])*)\})?/g,
  );
  return [...selectors].map(([, name = '', matchers = '']) => ({ name, matchers: matchersIn(matchers) }));
}

/** Returns the labels by which an expression groups or joins. Leaves out the labels that Prometheus adds. */
export function groupingLabelsOf(expression: string): string[] {
  const clauses = expression.matchAll(/\b(?:by|on|ignoring|group_left|without) ?\(([^)]*)\)/g);
  const labels = [...clauses].flatMap(([, list = '']) => list.split(',').map((label) => label.trim()));
  return labels.filter((label) => label !== '' && !ADDED.includes(label));
}

/** Whether a selector selects a series. */
export function selects({ name, matchers }: Selector, series: Series): boolean {
  if (name !== series.name) return false;
  return matchers.every(({ label, operator, value }) => {
    if (ADDED.includes(label)) return true;
    const present = series.labels.get(label);
    if (present === undefined) return false;
    const equal = operator.endsWith('~') ? new RegExp(`^(?:${value})$`).test(present) : present === value;
    return operator.startsWith('!') !== equal;
  });
}

function matchersIn(text: string): Matcher[] {
  return [...text.matchAll(/(\w+)(=~|!~|!=|=)"([^"]*)"/g)].map(([, label = '', operator, value = '']) => ({
    label,
    operator: operator as Matcher['operator'],
    value,
  }));
}
