import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { formProblems } from './report-form.ts';

const FOLDER = new URL('../../../../docs/benchmarks/', import.meta.url);
/** From before the form, as they were written then; a new run of theirs has it. */
const OLDER = [
  'engine-onnxruntime-runs.json',
  'engine-onnxruntime.json',
  'gpt-oss-20b-cpu-load.json',
  'h100-hip-router.json',
  'h100-webgpu-router.json',
  'serve-load.json',
];

describe('the reports in docs/benchmarks', () => {
  // What `router-kernel verify` prints is no benchmark.
  const files = readdirSync(FOLDER).filter((name) => /(?<!-verify|schema)\.json$/.test(name));
  const read = (name: string): string => readFileSync(new URL(name, FOLDER), 'utf8');

  it('have the documented form, those from before it aside', () => {
    for (const name of files) {
      const report: object = JSON.parse(read(name));
      if (OLDER.includes(name) && !('form' in report)) continue;
      assert.deepEqual(formProblems(report), [], name);
    }
  });

  it('are told of, each of them, in the README beside them', () => {
    const page = read('README.md');
    for (const name of readdirSync(FOLDER).filter((file) => file !== 'README.md')) {
      assert.ok(page.includes(`(${name})`), name);
    }
  });

  it('have the form that the README shows', () => {
    const example = /```json\n([\s\S]*?)```/.exec(read('README.md'))?.[1] ?? '';
    assert.deepEqual(formProblems(JSON.parse(example)), []);
  });
});
