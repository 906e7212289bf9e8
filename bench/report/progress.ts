/** Shows what is done at the moment. Progress is for people at a terminal, not for files. */
export function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
}
