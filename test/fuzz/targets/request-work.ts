import { readFileSync } from 'node:fs';
import { type HeapProfiler, Session } from 'node:inspector';
import protobuf from 'protobufjs';
import { decodeFileSet } from '#library/replay-guard/descriptors/descriptor-messages.js';
import type { MessageSchema } from '#library/replay-guard/descriptors/message-schema.js';
import { MethodSchemas } from '#library/replay-guard/descriptors/method-schemas.js';
import { canonicalForm } from '#library/replay-guard/fingerprint/canonical-form.js';
import { image, protoFolders } from '../../helpers/codegens/index.js';
import { type CostlyRequest, costlyRequests, wireOf } from '../inputs/costly-requests.js';
import { must, type Target } from '../target.js';

/** The canonical form may take this many times as long as the decoding of the same bytes. */
const MAX_TIME = 8;
/** The canonical form may allocate this many times as much as the decoding of the same bytes, or this much for each byte. */
const MAX_ALLOCATION = 3;
const MAX_BYTES_PER_BYTE = 40;
/** How long a function runs for one measurement, in milliseconds. The clock of a thread moves in steps of some milliseconds. */
const MEASURED_MS = 10;
/** How often a measurement is repeated before the time counts as too long. */
const ATTEMPTS = 5;
/** The sizes of the command are this many times those of `npm test`. */
const LONG = 8;

/** The cost of the canonical form, beside the decoder of the handlers on the same bytes. */
export const requestWorkTarget: Target<CostlyRequest> = {
  title: 'time and memory of the canonical form',
  inputs: costlyRequests,
  quickRuns: 6,
  requires: ['compared'],
  planted: 'each field is copied behind the fields before it',
  open(t, { planted, count, postgresUrl }) {
    const schemas = new MethodSchemas(decodeFileSet(image));
    const schema = schemas.request('/test.shapes.v1.EverythingService/Do') as MessageSchema;
    const decoder = protobuf
      .loadSync(`${protoFolders[1]}test/shapes/v1/everything.proto`)
      .lookupType('test.shapes.v1.Everything');
    const form = (wire: Buffer) => {
      if (planted) for (let end = 0; end < wire.length; end += 64) Buffer.from(wire.subarray(0, end));
      return canonicalForm(schema, wire);
    };
    const inspector = new Session();
    inspector.connect();
    t.teardown(() => inspector.disconnect());
    return {
      check(input) {
        const wire = wireOf(input, postgresUrl === undefined ? 1 : LONG);
        const decode = () => decoder.decode(wire);
        try {
          decode();
        } catch {
          return count('refused by the decoder');
        }
        const ratio = timeRatio(() => form(wire), decode);
        must(ratio <= MAX_TIME, `the canonical form takes ${ratio.toFixed(1)} times as long as the decoding`);
        const [own, decoding] = [() => form(wire), decode].map((work) => allocated(inspector, work)) as [
          number,
          number,
        ];
        const isSmall = own <= MAX_ALLOCATION * decoding || own <= MAX_BYTES_PER_BYTE * wire.length;
        must(
          isSmall,
          `the canonical form allocates ${own} bytes, the decoding ${decoding}, for ${wire.length} bytes`,
        );
        count('compared');
      },
    };
  },
};

/** Compares the costs of two functions, again if the ratio is too high: other work on the machine disturbs a measurement. */
function timeRatio(work: () => void, yardstick: () => void): number {
  let lowest = Number.POSITIVE_INFINITY;
  for (let attempt = 0; attempt < ATTEMPTS && lowest > MAX_TIME; attempt++)
    lowest = Math.min(lowest, cost(work) / cost(yardstick));
  return lowest;
}

/** Returns the CPU time of one run, in milliseconds: the average of as many runs as the clock can measure. */
function cost(work: () => void): number {
  const beganAt = threadTimeMs();
  let runs = 0;
  do {
    work();
    runs++;
  } while (threadTimeMs() - beganAt < MEASURED_MS);
  return (threadTimeMs() - beganAt) / runs;
}

/** Returns the CPU time of this thread, which does not grow while other work has the CPU. Elsewhere than on Linux: the time. */
function threadTimeMs(): number {
  try {
    return Number(readFileSync('/proc/thread-self/schedstat', 'latin1').split(' ')[0]) / 1e6;
  } catch {
    return performance.now();
  }
}

/** Returns the bytes that a function allocates in the heap. Objects that were already collected count, too. */
function allocated(inspector: Session, work: () => void): number {
  const sampling = {
    samplingInterval: 4_096,
    includeObjectsCollectedByMajorGC: true,
    includeObjectsCollectedByMinorGC: true,
  };
  let total = 0;
  inspector.post('HeapProfiler.startSampling', sampling);
  work();
  inspector.post('HeapProfiler.stopSampling', (_error, result) => {
    if (result) total = sizeOf(result.profile.head);
  });
  return total;
}

const sizeOf = ({ selfSize, children }: HeapProfiler.SamplingHeapProfileNode): number =>
  children.reduce((size, child) => size + sizeOf(child), selfSize);
