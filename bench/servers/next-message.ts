import type { ChildProcess } from 'node:child_process';

/**
 * Resolves to the next message of a child process.
 * @throws Error when the process ends first
 */
export function nextMessage<Message>(child: ChildProcess): Promise<Message> {
  return new Promise((resolve, reject) => {
    const onMessage = (message: unknown) => {
      child.removeListener('exit', onExit);
      resolve(message as Message);
    };
    const onExit = (code: number | null) => {
      child.removeListener('message', onMessage);
      reject(new Error(`a process of the benchmark ended with code ${code}`));
    };
    child.once('message', onMessage);
    child.once('exit', onExit);
  });
}
