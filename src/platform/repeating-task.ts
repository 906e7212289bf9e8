/** The task that services repeat at an interval. Services depend on this platform, not on the library. */
export { RepeatingTask } from 'grpc-replay-guard/timing';
