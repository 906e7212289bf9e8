import { align } from '../report/table.js';
import { type SoakReport, sampledSizes } from './soak.js';

/** Returns a report as a table of text. */
export function soakTable({
  engine,
  work,
  samples,
  growth,
  callsPerSecond,
  failures,
  isFlat,
}: SoakReport): string {
  const calls = samples.at(-1)?.calls ?? 0;
  const rows = sampledSizes.map((sampled) => {
    const sizes = samples.map((sample) => sample[sampled]);
    const ofRun = [sizes[0] ?? 0, sizes.at(-1) ?? 0, Math.max(...sizes)];
    const { bytesPerMillion, allowedPerMillion } = growth[sampled];
    const result = growth[sampled].isFlat ? 'flat' : 'GROWS';
    return [sampled, ...[...ofRun, bytesPerMillion, allowedPerMillion].map(megabytes), result];
  });
  const failed = failures > 0 ? `, ${failures} FAILED` : '';
  const result = isFlat ? 'flat' : 'GROWS';
  return [
    `soak of ${engine}: ${work}: ${result}; ${calls.toLocaleString('en-US')} calls, ${callsPerSecond.toFixed(0)} calls/s${failed}`,
    align([['MB', 'first', 'last', 'max', 'growth per million', 'allowed', ''], ...rows]),
  ].join('\n');
}

const megabytes = (bytes: number) => (bytes / 2 ** 20).toFixed(1);
