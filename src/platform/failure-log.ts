/** The failure log of the library. The services import it from here, so that their code does not name the guard. */
export type { FailureLog } from 'grpc-replay-guard/logging';
