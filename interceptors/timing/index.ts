export { type Backoff, backoffMs, type Jitter } from './backoff.js';
export { type Deadline, deadlines } from './deadlines.js';
export { RepeatingTask, type RepeatingTaskOptions } from './repeating-task.js';
export { type WaitEnd, type WaitLimit, within } from './timeout.js';
