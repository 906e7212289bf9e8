/** The repeating task of the library. The services import it from here, so that their code does not name the guard. */
export { RepeatingTask } from 'grpc-replay-guard/timing';
