import test from 'ava';
import { isPromise, type MaybePromise, then, thenOrCatch } from '#library/timing/maybe-promise.js';

const failure = new Error('on purpose');
const throws = (): MaybePromise<string> => {
  throw failure;
};
const rejects = (): MaybePromise<string> => Promise.reject(failure);
/** A promise of another implementation. Its `then` returns nothing. */
const foreign = {
  // biome-ignore lint/suspicious/noThenProperty: the test needs a thenable
  then: (resolve: (value: string) => void) => resolve('foreign'),
} as unknown as Promise<string>;

test('a value that is there is passed on at once', (t) => {
  t.is(
    then('value', (value) => `${value}!`),
    'value!',
  );
  t.is(
    thenOrCatch(
      () => 'value',
      (value) => `${value}!`,
      () => 'failed',
    ),
    'value!',
  );
});

test('a promise is passed on when it resolves, also a promise of another implementation', async (t) => {
  for (const [promise, value] of [
    [Promise.resolve('own'), 'own'],
    [foreign, 'foreign'],
  ] as const) {
    t.true(isPromise(promise));
    t.is(await then(promise, (result) => `${result}!`), `${value}!`);
    t.is(
      await thenOrCatch(
        () => promise,
        (result) => `${result}!`,
        () => 'failed',
      ),
      `${value}!`,
    );
  }
});

for (const [name, work] of Object.entries({ throws, rejects })) {
  test(`the error of work that ${name} is passed to the second function`, async (t) => {
    const errors: unknown[] = [];
    const failed = (error: unknown) => {
      errors.push(error);
      return 'failed';
    };
    t.is(await thenOrCatch(work, () => 'done', failed), 'failed');
    t.deepEqual(errors, [failure]);
  });

  test(`an error that the second function throws after work that ${name} is not lost`, async (t) => {
    const another = new Error('another');
    const fails = (): string => {
      throw another;
    };
    t.is(await t.throwsAsync(async () => thenOrCatch(work, () => 'done', fails)), another);
  });
}

test('an error of the first function is not passed to the second function', async (t) => {
  const failed = () => t.fail() as never;
  const work = (isPromised: boolean) => (isPromised ? Promise.resolve('value') : 'value');
  for (const isPromised of [false, true])
    t.is(await t.throwsAsync(async () => thenOrCatch(() => work(isPromised), throws, failed)), failure);
});
