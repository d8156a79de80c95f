/** One file of tests, and what came of it. */
import { readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { ROOT } from '../commands.mjs';
import { builtPath } from './build-tests.mjs';

/** What tests print when they leave something out. */
const SKIP_REASON = /^\s*(skipped: .*)$/gm;
/** What a file has that looks at what is the process's, changes it, or fills it with a GPU's libraries. */
const OF_THE_PROCESS =
  /\bprocess\.(?!env\['SWITCHYARD_TEST_LEVEL'\]|platform|arch|execPath|versions?\b|ts'|mjs'|json')|globalThis|webgpu|own process/i;

export class TestFile {
  /** @param {string} packageName @param {string} path absolute, of the source @param {NodeJS.ProcessEnv} env */
  constructor(packageName, path, env) {
    this.cwd = join(ROOT, 'packages', packageName);
    this.name = `${packageName} ${relative(join(this.cwd, 'test'), path)}`;
    this.path = path;
    this.builtPath = builtPath(path);
    this.env = env;
    this.counts = { passed: 0, failed: 0, skipped: 0 };
    this.current = '';
    this.started = 0;
    this.output = '';
  }

  /** Milliseconds since the start, or that it took. */
  get time() {
    return (this.ended ?? performance.now()) - this.started;
  }

  get skipReasons() {
    return new Set([...this.output.matchAll(SKIP_REASON)].map(([, reason]) => reason));
  }

  /** Whether it may run in a process that ran other files, and will run more. */
  async sharesProcess() {
    return !OF_THE_PROCESS.test(await readFile(this.path, 'utf8'));
  }

  begin() {
    this.started = performance.now();
  }

  /** @param {{ type: 'begin' | 'passed' | 'failed' | 'skipped', title: string }} event of the reporter */
  report({ type, title }) {
    if (type === 'begin') this.current = title;
    else this.counts[type]++;
  }

  /** @param {string | null} fault Of the process that ran it: one that dies must not pass for a run without failures. */
  end(fault) {
    this.ended = performance.now();
    if (fault === null) return;
    this.output += `\n${fault}\n`;
    if (this.counts.failed === 0) this.counts.failed++;
  }
}
