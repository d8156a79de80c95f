import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { expandTemplate } from '../../src/webgpu/template.ts';
import { DISPATCH_PLAN_WGSL } from '../../src/webgpu/wgsl/dispatch-plan.ts';
import { SCORES_WGSL } from '../../src/webgpu/wgsl/scores.ts';
import { TOPK_GATING_SOFTMAX_WGSL } from '../../src/webgpu/wgsl/topk-gating-softmax.ts';

const values = { texts: { NAME: 'x', LINES: 'one $k' }, flags: { ON: true, OFF: false }, repeats: 3 };

describe('WGSL templates', () => {
  it('keep the lines of the branch that holds', () => {
    const source = '#if ON\na\n#if OFF\nb\n#else\nc\n#end\n#else\nd\n#end\ne';
    assert.equal(expandTemplate(source, values), 'a\nc\ne');
  });

  it('repeat lines, from a number on, in filled-in texts too', () => {
    assert.equal(expandTemplate('#repeat k 1\n{{LINES}}\n#end', values), 'one 1\none 2');
  });

  it('refuse unknown names and open blocks', () => {
    assert.throws(() => expandTemplate('{{OTHER}}', values), /unknown text OTHER/);
    assert.throws(() => expandTemplate('#if OTHER\n#end', values), /unknown flag OTHER/);
    assert.throws(() => expandTemplate('#if ON\na', values), /not closed/);
    assert.throws(() => expandTemplate('a\n#end', values), /#end or #else/);
  });

  it('are embedded as they are in kernels/: else run node kernels/embed-wgsl.mjs', () => {
    const kernel = (file: string): string => readFileSync(new URL(`../../kernels/${file}`, import.meta.url), 'utf8');
    assert.equal(TOPK_GATING_SOFTMAX_WGSL, kernel('topk_gating_softmax.wgsl'));
    assert.equal(SCORES_WGSL, kernel('scores.wgsl'));
    assert.equal(DISPATCH_PLAN_WGSL, kernel('dispatch_plan.wgsl'));
  });
});
