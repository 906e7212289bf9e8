import type { Clock } from './clock.js';

/** The offset of `performance.now()`, which begins with the process, to the steady clock of the host. */
const offsetMs = Number(process.hrtime.bigint()) / 1e6 - performance.now();

/**
 * Returns the time since the host started, in milliseconds. Setting the time of the host does not change this clock.
 * All processes of a host share it. The clock may stop while the host is suspended.
 */
export const steadyClock: Clock = () => offsetMs + performance.now();
