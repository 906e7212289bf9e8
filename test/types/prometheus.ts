import type { ReplayGuardObserver } from 'grpc-replay-guard';
import { createPrometheusObserver } from 'grpc-replay-guard/prometheus';
import { Registry } from 'prom-client';
import { expectType } from './expect-type.js';

expectType<ReplayGuardObserver>()(createPrometheusObserver(new Registry()));
// @ts-expect-error the registry is missing
createPrometheusObserver();
// @ts-expect-error a registry, not its options
createPrometheusObserver({ prefix: 'shop_' });
