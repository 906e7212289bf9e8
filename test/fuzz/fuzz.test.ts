import test from 'ava';
import { readCorpus } from './inputs/corpus.js';
import { printPlain } from './inputs/plain-data.js';
import { findBug } from './run-planted.js';
import { replayCommand, runInput, runTarget } from './run-target.js';
import { targets } from './targets/index.js';

/** The seed of `npm test`, so that a failure comes from a change. `npm run fuzz` uses new seeds. */
const seed = Number(process.env.FUZZ_SEED ?? 1);

for (const [name, target] of Object.entries(targets)) {
  const runs = target.quickRuns;
  if (runs === undefined) continue;

  test.serial(`${target.title}: no random input breaks a rule`, async (t) => {
    const { failure, events } = await runTarget(target, { seed, planted: false, runs });
    if (failure) {
      t.log(replayCommand(name, seed, failure), printPlain(failure.input));
      throw failure.error;
    }
    t.deepEqual(
      target.requires.filter((event) => !events[event]),
      [],
      'every required event has happened',
    );
  });

  test.serial(`${target.title}: the target finds a planted bug: ${target.planted}`, async (t) => {
    t.truthy(await findBug(target, seed));
  });

  for (const { name: file, input } of readCorpus(name)) {
    test.serial(`${target.title}: the input ${file} of the corpus breaks no rule`, async (t) => {
      t.is(await runInput(target, input, { planted: false }), undefined);
    });
  }
}
