import type { ConsumerObserver } from 'grpc-replay-guard/consumer';
import { createPrometheusConsumerObserver } from 'grpc-replay-guard/consumer/prometheus';
import { Registry } from 'prom-client';
import { expectType } from '../expect-type.js';

expectType<ConsumerObserver>()(createPrometheusConsumerObserver(new Registry()));
// @ts-expect-error the registry is missing
createPrometheusConsumerObserver();
