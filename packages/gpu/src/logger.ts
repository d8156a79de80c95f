/** Receives what this package has to say. `console` fits; a method that is absent is not called. */
export interface Logger {
  debug?(message: string): void;
  info?(message: string): void;
  warn?(message: string): void;
}
