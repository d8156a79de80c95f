/** A process that runs files of tests of one package, one after another. */
import { spawn } from 'node:child_process';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const PROGRAM = fileURLToPath(new URL('run-files.mjs', import.meta.url));
/** What the process writes to both its streams when a file is done: nothing keeps the order of streams and messages. */
const END_OF_OUTPUT = '\0';
/** Something that is left open keeps the process alive. After this long it is ended, and that is a fault. */
const MOST_MS_TO_END = 10_000;

export class TestProcess {
  #child;
  /** How it ended, in words; null until then. */
  #outcome = null;
  #ended;
  #files = [];
  /** What the file that runs has yet to end: both streams, and the messages. */
  #open = 0;
  #whenDone = () => undefined;

  /** @param {string} cwd @param {NodeJS.ProcessEnv} env */
  constructor(cwd, env) {
    this.cwd = cwd;
    this.#child = spawn(process.execPath, ['--enable-source-maps', PROGRAM], {
      cwd,
      env,
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => this.#hear(text));
    }
    this.#child.on('message', (event) => {
      if (event.type === 'end') this.#endOne();
      else this.#files.at(-1).report(event);
    });
    this.#ended = new Promise((resolve) => {
      this.#child.once('error', (error) => resolve(String(error)));
      this.#child.once('close', (code, signal) => resolve(signal ?? `exit code ${code}`));
    }).then((outcome) => {
      this.#outcome = outcome;
    });
  }

  get isAlive() {
    return this.#outcome === null;
  }

  /** Runs a file. @returns {Promise<string | null>} what is wrong where the process ended meanwhile */
  async run(file, grep) {
    this.#files.push(file);
    this.#open = 3;
    const done = new Promise((resolve) => {
      this.#whenDone = resolve;
    });
    this.#send({ path: file.builtPath, grep, endOfOutput: END_OF_OUTPUT });
    await Promise.race([done, this.#ended]);
    if (this.#open === 0) return null;
    return `The process ended with ${this.#outcome}${file.current === '' ? '' : ` during: ${file.current}`}`;
  }

  /** Lets the process end by itself. @returns {Promise<string | null>} what is wrong where it does not, or ends badly */
  async end() {
    if (this.isAlive) {
      this.#send(null);
      const late = setTimeout(MOST_MS_TO_END, undefined, { ref: false });
      await Promise.race([this.#ended, late]);
    }
    if (this.#outcome === 'exit code 0') return null;
    const names = this.#files.map(({ name }) => name).join(', ');
    if (!this.isAlive) return `The process ended with ${this.#outcome} after ${names}`;
    this.#child.kill('SIGKILL');
    return `The process did not end by itself: something is left open after ${names}`;
  }

  #send(message) {
    // Where it cannot be sent, the process has ended.
    this.#child.send(message, () => undefined);
  }

  #hear(text) {
    const file = this.#files.at(-1);
    if (file !== undefined) file.output += text.replace(END_OF_OUTPUT, '');
    if (text.includes(END_OF_OUTPUT)) this.#endOne();
  }

  #endOne() {
    this.#open -= 1;
    if (this.#open === 0) this.#whenDone();
  }
}
