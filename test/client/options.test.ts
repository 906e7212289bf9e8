import test from 'ava';
import {
  createIdempotencyInterceptor,
  createRetryServiceConfig,
  type SendOptions,
  sendUntilKnown,
} from 'grpc-replay-guard/client';

// A misspelt option in a variable compiles, because TypeScript checks only object literals.
const misspelt = <Options>(options: Record<string, unknown>) => options as Options;

test('createIdempotencyInterceptor refuses an unknown option by name', (t) => {
  t.throws(() => createIdempotencyInterceptor(misspelt({ skipped: [] })), {
    instanceOf: TypeError,
    message: 'createIdempotencyInterceptor: unknown option skipped; its options are skip',
  });
});

test('createRetryServiceConfig refuses an unknown option by name', (t) => {
  t.throws(() => createRetryServiceConfig(misspelt({ attempts: 3 })), {
    instanceOf: TypeError,
    message: /^createRetryServiceConfig: unknown option attempts; its options are services, maxAttempts, /,
  });
});

test('sendUntilKnown refuses an unknown option by name before an attempt', async (t) => {
  const never = () => t.fail('an attempt was made') as never;
  await t.throwsAsync(sendUntilKnown(never, misspelt<SendOptions>({ budgetMs: 60_000 })), {
    instanceOf: TypeError,
    message: /^sendUntilKnown: unknown option budgetMs; its options are .*\bretryBudgetMs\b/,
  });
});
