import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { resolveRouterConfig } from '../../src/resolve-config.ts';
import type { RouterConfig } from '../../src/contract.ts';
import { GATE_PARTIAL_SUMS } from '../../src/gate/gate-contract.ts';
import { contractCases } from '../../src/suite/index.ts';
import { gateShader } from '../../src/webgpu/kernel/gate-shader.ts';
import { GATE_ROWS } from '../../src/webgpu/kernel/gate-values.ts';
import { chooseGeometry, gatedGeometry } from '../../src/webgpu/kernel/launch-geometry.ts';
import type { LaunchOptions } from '../../src/webgpu/kernel/launch-geometry.ts';
import { planShader } from '../../src/webgpu/kernel/plan-shader.ts';
import { routerShader } from '../../src/webgpu/kernel/router-shader.ts';
import { requestSoftwareDevice, skipWithoutWebGpu } from './software-webgpu.ts';

function shaderOf(config: RouterConfig, options: LaunchOptions, hasPadding: boolean, isContiguous = false): string {
  const resolved = resolveRouterConfig(config);
  const geometry = chooseGeometry(resolved, options);
  const { path, isAligned } = options;
  return routerShader(resolved, { geometry, path, isAligned, hasPadding, isContiguous });
}

/** The shaders that form the logits, too, of one of the gates in turn. */
function gatedShadersOf(config: RouterConfig, turn: number): string[] {
  const router = resolveRouterConfig({ ...config, logitsDtype: 'f32' });
  const hiddenDtype = turn % 2 === 0 ? 'bf16' : 'f32';
  const gate = { hiddenSize: 8 + 8 * (turn % 3), hiddenDtype, hasGateBias: turn % 3 === 0, router } as const;
  const path = turn % 4 < 2 ? 'subgroups' : 'workgroup';
  const launch = { path, minSubgroupSize: path === 'subgroups' ? 32 : 1, isAligned: turn % 5 > 0 } as const;
  const geometry = gatedGeometry(router, launch, { invocations: GATE_PARTIAL_SUMS, gateRows: GATE_ROWS });
  if (geometry === null) return [];
  return [gateShader(gate), routerShader(router, { ...launch, geometry, hasPadding: turn % 2 === 0, gate })];
}

/** Compares with a file that is checked in. Set UPDATE_SNAPSHOTS=1 to write it anew, and read the difference. */
function assertSnapshot(file: string, text: string): void {
  const url = new URL(`snapshots/${file}`, import.meta.url);
  if (process.env['UPDATE_SNAPSHOTS'] === '1') writeFileSync(url, text);
  assert.ok(existsSync(url), `no snapshot ${file}`);
  assert.equal(text, readFileSync(url, 'utf8'));
}

describe('generated WGSL', () => {
  it('is the checked-in text for gpt-oss-120b, bf16, by subgroups', () => {
    const options = { path: 'subgroups', minSubgroupSize: 32, tokenRange: 'few', isAligned: true } as const;
    assertSnapshot(
      'gpt-oss-120b-bf16-subgroups.wgsl',
      shaderOf({ experts: 128, topK: 4, logitsDtype: 'bf16' }, options, false),
    );
  });

  it('is the checked-in text for gpt-oss-120b, bf16, by subgroups, of many contiguous rows', () => {
    const options = { path: 'subgroups', minSubgroupSize: 32, tokenRange: 'most', isAligned: true } as const;
    assertSnapshot(
      'gpt-oss-120b-bf16-subgroups-chunks.wgsl',
      shaderOf({ experts: 128, topK: 4, logitsDtype: 'bf16' }, options, false, true),
    );
  });

  it('is the checked-in text for DeepSeek-V3, f32, through workgroup memory', () => {
    const config: RouterConfig = {
      experts: 256,
      topK: 8,
      scoring: 'sigmoid',
      routedScalingFactor: 2.5,
      correctionBias: new Float32Array(256),
      groups: 8,
      topKGroups: 4,
      idsDtype: 'i64',
    };
    const options = { path: 'workgroup', minSubgroupSize: 1, tokenRange: 'few', isAligned: true } as const;
    assertSnapshot('deepseek-v3-f32-workgroup.wgsl', shaderOf(config, options, true));
  });

  describe('is valid', () => {
    let device: GPUDevice | null = null;
    before(async function () {
      await skipWithoutWebGpu.call(this);
      device = await requestSoftwareDevice();
    });
    after(() => device?.destroy());

    it('for every published shape, dtype, path, subgroup size and range of tokens', async function () {
      this.timeout(120_000);
      assert.ok(device !== null);
      // The suite's published shapes at every level, and its cases of scoring, groups and ranges once each.
      const configs = contractCases('quick')
        .filter(({ section }) => section !== 'shapes')
        .map(({ config }) => config);
      assert.ok(configs.length > 50);
      const known = new Set<string>();
      for (const [index, config] of configs.entries()) {
        const codes = [planShader(resolveRouterConfig(config))];
        for (const minSubgroupSize of [1, 4, 32, 128]) {
          const path = minSubgroupSize === 1 ? 'workgroup' : 'subgroups';
          const tokenRange = (['few', 'many', 'most'] as const)[(index + minSubgroupSize) % 3] ?? 'few';
          for (const isAligned of [true, false]) {
            const options = { path, minSubgroupSize, tokenRange, isAligned } as const;
            const hasPadding = index % 2 === 0;
            codes.push(shaderOf(config, options, hasPadding, isAligned && !hasPadding));
          }
        }
        codes.push(...gatedShadersOf(config, index));
        for (const code of codes.filter((text) => !known.has(text))) {
          known.add(code);
          const info = await device.createShaderModule({ code }).getCompilationInfo();
          assert.deepEqual(
            info.messages.map(({ message, lineNum }) => `${lineNum}: ${message}`),
            [],
            code,
          );
        }
      }
      assert.ok(known.size > 200, `${known.size} shaders`);
    });
  });
});
