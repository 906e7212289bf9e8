import { readFile } from 'node:fs/promises';

/** The place of a panel, in units of the grid, which is 24 wide. */
export interface Place {
  readonly x: number;
  readonly y: number;
  readonly w: number;
  readonly h: number;
}

/** A query of a panel. */
export interface Target {
  readonly expr: string;
  /** The names of the series, with labels in double braces. */
  readonly legendFormat: string;
}

/** A panel of the dashboard, as far as tests and the picture read it. */
export interface Panel {
  readonly id: number;
  readonly type: 'row' | 'stat' | 'timeseries';
  readonly title: string;
  readonly gridPos: Place;
  readonly targets?: readonly Target[];
  readonly fieldConfig?: {
    readonly defaults: {
      readonly unit?: string;
      readonly thresholds?: {
        readonly steps: readonly { readonly color: string; readonly value: number | null }[];
      };
      readonly custom?: { readonly stacking?: { readonly mode: string } };
    };
  };
}

/** Reads the panels of the dashboard. */
export async function readPanels(): Promise<readonly Panel[]> {
  const { panels } = JSON.parse(await readFile('docs/operations/dashboard.json', 'utf8'));
  return panels;
}

/** Returns an expression as Grafana sends it, for one job and one window of rates. */
export function sentExpression(expr: string, job: string, window: string): string {
  return expr.replaceAll('$job', job).replaceAll('$__rate_interval', window);
}
