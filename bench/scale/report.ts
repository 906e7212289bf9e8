import { align } from '../report/table.js';
import type { ScaleReport } from './measure-sizes.js';
import type { OldSnapshotMeasure } from './old-snapshot.js';
import type { StatementTime } from './statement-times.js';

/** Returns the reports of one engine as tables of text. The first report is the base of the ratios. */
export function tablesOf(reports: readonly ScaleReport[]): string {
  const [base] = reports;
  if (!base) return '';
  const calls = reports.map(({ records, fillSeconds, bytesPerRecord, newKey, replay }) => [
    count(records),
    fillSeconds.toFixed(1),
    bytesPerRecord.toFixed(0),
    ...[newKey.p50Ms, newKey.p99Ms].map(ms),
    newKey.growth.median.toFixed(2),
    ...[replay.p50Ms, replay.p99Ms].map(ms),
    replay.growth.median.toFixed(2),
  ]);
  const purges = reports.flatMap(({ records, purge }) => {
    if (!purge) return [];
    const { purged, purgedPerSecond, before, latency, callsPerSecondBefore, callsPerSecond } = purge;
    const latencies = [before, latency].flatMap(({ p50Ms, p99Ms, maxMs }) => [p50Ms, p99Ms, maxMs].map(ms));
    const rates = [callsPerSecondBefore, callsPerSecond].map((rate) => count(Math.round(rate)));
    return [[count(records), count(purged), count(Math.round(purgedPerSecond)), ...latencies, ...rates]];
  });
  const callTitles = ['records', 'fill s', 'bytes', 'new p50', 'p99', 'ratio', 'replay p50', 'p99', 'ratio'];
  const purgeTitles = [
    'records',
    'purged',
    'records/s',
    'before: p50',
    'p99',
    'max',
    'during: p50',
    'p99',
    'max',
  ];
  const tables = [
    `${base.engine}: one call at a time, latencies in ms, bytes per record with indexes`,
    align([callTitles, ...calls]),
  ];
  if (purges.length > 0) {
    tables.push(
      `${base.engine}: new keys while expired records are purged, latencies in ms`,
      align([[...purgeTitles, 'calls/s before', 'during'], ...purges]),
    );
  }
  const last = reports.at(-1);
  if (last?.statements) tables.push(statementsTable(last.records, last.statements));
  return tables.join('\n');
}

/** The statements of SQLite block their process, so that their durations explain the latencies. */
function statementsTable(records: number, statements: readonly StatementTime[]): string {
  const rows = statements.map(({ kind, statements: number, totalMs, p50Ms, p99Ms, maxMs }) => [
    kind,
    count(number),
    ...[p50Ms, p99Ms, maxMs].map(ms),
    count(Math.round(totalMs)),
  ]);
  return [
    `sqlite: statements before and during the purge of ${count(records)} records, in ms`,
    align([['', 'statements', 'p50', 'p99', 'max', 'in all'], ...rows]),
  ].join('\n');
}

/** Returns the durations of a purge beside an open transaction as a table of text. */
export function oldSnapshotTable({ fromBeginning, fromPosition }: OldSnapshotMeasure): string {
  const rows = [
    ['each batch starts from the beginning', ms(fromBeginning.firstMs), ms(fromBeginning.lastMs)],
    ['each batch starts where the previous one ended', ms(fromPosition.firstMs), ms(fromPosition.lastMs)],
  ];
  return [
    'postgres: 100 batches of 500 records beside an open transaction, medians of 10 batches in ms',
    align([['', 'first 10', 'last 10'], ...rows]),
  ].join('\n');
}

const count = (value: number) => value.toLocaleString('en-US');
const ms = (value: number) => value.toFixed(2);
