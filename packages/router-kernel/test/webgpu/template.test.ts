import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { DISPATCH_PLAN_WGSL } from '../../src/webgpu/wgsl/dispatch-plan.ts';
import { SCORES_WGSL } from '../../src/webgpu/wgsl/scores.ts';
import { TOPK_GATING_SOFTMAX_WGSL } from '../../src/webgpu/wgsl/topk-gating-softmax.ts';

describe('WGSL templates', () => {
  it('are embedded as they are in kernels/: else run npm run kernels', () => {
    const kernel = (file: string): string => readFileSync(new URL(`../../kernels/${file}`, import.meta.url), 'utf8');
    assert.equal(TOPK_GATING_SOFTMAX_WGSL, kernel('topk_gating_softmax.wgsl'));
    assert.equal(SCORES_WGSL, kernel('scores.wgsl'));
    assert.equal(DISPATCH_PLAN_WGSL, kernel('dispatch_plan.wgsl'));
  });
});
