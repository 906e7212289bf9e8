import type { Destination } from 'grpc-replay-guard/outbox';
import { createWebhookDestination, type WebhookOptions } from 'grpc-replay-guard/outbox/webhook';
import { expectType } from '../expect-type.js';

const options: WebhookOptions = { url: 'https://shop.example', secret: 'whsec_', types: ['order.placed'] };
expectType<Destination>()(createWebhookDestination(options));
createWebhookDestination({ ...options, retry: { initialBackoffMs: 10, maxBackoffMs: 100, maxAttempts: 3 } });
// @ts-expect-error the secret is missing
createWebhookDestination({ url: 'https://shop.example', types: [] });
// @ts-expect-error an unknown option
createWebhookDestination({ ...options, headers: {} });
// @ts-expect-error an unknown setting of retries
createWebhookDestination({ ...options, retry: { firstMs: 10 } });
// @ts-expect-error types are a list
createWebhookDestination({ ...options, types: 'order.placed' });
// @ts-expect-error options are readonly
options.url = 'https://other.example';
