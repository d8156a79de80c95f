/**
 * Who runs which file. To start a process, and to load what tests import, takes longer than most files do: so files of a
 * package share processes, one file at a time; a process that dies has run one file when it did. Files that look at what is
 * the process's have one of their own.
 */
import { TestProcess } from './test-process.mjs';

export class TestProcesses {
  /** Those that wait for their next file. */
  #idle = [];
  #mostIdle;
  #grep;
  #faults = [];

  /** @param {number} mostIdle @param {string | undefined} grep Of titles */
  constructor(mostIdle, grep) {
    this.#mostIdle = mostIdle;
    this.#grep = grep;
  }

  /** Runs a file; never rejects. @param {import('./test-file.mjs').TestFile} file */
  async run(file) {
    file.begin();
    const isShared = await file.sharesProcess();
    const testProcess = (isShared ? this.#takeIdle(file.cwd) : null) ?? new TestProcess(file.cwd, file.env);
    let fault = await testProcess.run(file, this.#grep);
    if (fault === null && isShared) this.#idle.push(testProcess);
    else if (fault === null) fault = await testProcess.end();
    file.end(fault);
    if (this.#idle.length > this.#mostIdle) await this.#end(this.#idle.shift());
  }

  /** Ends all processes. @returns {Promise<readonly string[]>} what was wrong with those that waited */
  async close() {
    await Promise.all(this.#idle.map((testProcess) => this.#end(testProcess)));
    return this.#faults;
  }

  #takeIdle(cwd) {
    const index = this.#idle.findIndex((testProcess) => testProcess.cwd === cwd && testProcess.isAlive);
    return index === -1 ? null : this.#idle.splice(index, 1)[0];
  }

  async #end(testProcess) {
    const fault = await testProcess.end();
    if (fault !== null) this.#faults.push(fault);
  }
}
