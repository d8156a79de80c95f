/** Hears what the runner decides while it loads. */
export interface RunnerLogger {
  info?(message: string): void;
  debug?(message: string): void;
}
