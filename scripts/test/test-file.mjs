/** One file of tests, run by mocha in a process of its own: files do not meet each other's memory, threads or faults. */
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ROOT } from '../commands.mjs';

const MOCHA = createRequire(import.meta.url).resolve('mocha/bin/mocha.js');
const REPORTER = fileURLToPath(new URL('report-to-parent.cjs', import.meta.url));
/** What tests print when they leave something out. */
const SKIP_REASON = /^\s*(skipped: .*)$/gm;

/** Runs one file of tests; `run` resolves and never rejects. */
export class TestFile {
  /** @param {string} packageName @param {string} path absolute @param {NodeJS.ProcessEnv} env @param {readonly string[]} options of mocha */
  constructor(packageName, path, env, options) {
    this.cwd = join(ROOT, 'packages', packageName);
    this.name = `${packageName} ${relative(join(this.cwd, 'test'), path)}`;
    this.path = path;
    this.env = env;
    this.options = options;
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

  run() {
    this.started = performance.now();
    const args = ['--import=tsx/esm', MOCHA, '--no-config', '--no-color', '--timeout', '60000'];
    args.push('--reporter', REPORTER, ...this.options, relative(this.cwd, this.path));
    return new Promise((resolve) => {
      const child = spawn(process.execPath, args, {
        cwd: this.cwd,
        env: this.env,
        stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      });
      for (const stream of [child.stdout, child.stderr]) {
        stream.on('data', (chunk) => {
          this.output += chunk;
        });
      }
      child.on('message', ({ type, title }) => {
        if (type === 'begin') this.current = title;
        else this.counts[type]++;
      });
      const end = (fault) => {
        this.ended = performance.now();
        // Mocha that dies must not pass for a run without failures.
        if (fault !== null && this.counts.failed === 0) {
          this.output += `\n${fault}${this.current === '' ? '' : ` during: ${this.current}`}\n`;
          this.counts.failed++;
        }
        resolve(this);
      };
      child.once('error', (error) => end(String(error)));
      child.once('close', (code, signal) => end(code === 0 ? null : `It ended with ${signal ?? `exit code ${code}`}`));
    });
  }
}
