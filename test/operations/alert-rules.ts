import { readFile } from 'node:fs/promises';

/** The folder of the rules and of the dashboard. */
export const FOLDER = 'docs/operations';

/** An alert rule as it is written. Each alert has its own lines in the file. */
export interface Alert {
  readonly name: string;
  readonly expression: string;
  readonly text: string;
}

/** Reads the alert rules. */
export async function alertRules(): Promise<Alert[]> {
  const [, ...rules] = (await readFile(`${FOLDER}/alerts.yml`, 'utf8')).split(/^ {6}- alert: /m);
  return rules.map((rule) => ({
    name: /^\w+/.exec(rule)?.[0] ?? '',
    expression: /expr:(?: \|\n)?(.*?)\n {8}(?:for|labels):/s.exec(rule)?.[1] ?? '',
    text: rule,
  }));
}
