import type { OutboxObserver } from 'grpc-replay-guard/outbox';
import { createPrometheusOutboxObserver } from 'grpc-replay-guard/outbox/prometheus';
import { Registry } from 'prom-client';
import { expectType } from '../expect-type.js';

expectType<OutboxObserver>()(createPrometheusOutboxObserver(new Registry()));
// @ts-expect-error the registry is missing
createPrometheusOutboxObserver();
