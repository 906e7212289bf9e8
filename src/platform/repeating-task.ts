/** Runs a task at an interval. The services import it from here, so that they do not depend on the library. */
export { RepeatingTask } from 'grpc-replay-guard/timing';
