import type { HarmonyToolCall } from '@switchyard/models';
import type { AnalysisEvent, ContentEvent } from '../events.ts';
import { dim, type Terminal } from './terminal.ts';

/** Writes an answer as it comes: analysis, content and each call on lines of their own, the analysis dimmed. */
export class AnswerPrinter {
  readonly #terminal: Terminal;
  #last: 'analysis' | 'content' | 'call' | null = null;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  /** Whether anything was written: its last line has no end yet. */
  get hasWritten(): boolean {
    return this.#last !== null;
  }

  text(event: AnalysisEvent | ContentEvent): void {
    const goesOn = this.#last === event.type;
    // A part on a line of its own needs no separator from the message before it.
    const text = goesOn ? event.text : event.text.slice(event.separator?.length ?? 0);
    if (!goesOn) this.#beginLine();
    this.#last = event.type;
    this.#terminal.output.write(event.type === 'analysis' ? dim(this.#terminal, text) : text);
  }

  call({ name, arguments: text }: HarmonyToolCall): void {
    this.#beginLine();
    this.#last = 'call';
    this.#terminal.output.write(`${name}(${text})`);
  }

  #beginLine(): void {
    if (this.hasWritten) this.#terminal.output.write('\n');
  }
}
