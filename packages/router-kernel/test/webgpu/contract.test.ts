import { createWebGpuRouter } from '../../src/webgpu/index.ts';
import { describeRouterContract } from '../contract-suite.ts';
import { skipWithoutWebGpu } from './software-webgpu.ts';

describe('WebGPU router', () => {
  before(skipWithoutWebGpu);
  for (const path of ['subgroups', 'workgroup'] as const) {
    describeRouterContract(
      `webgpu on SwiftShader, path ${path}`,
      (config) => createWebGpuRouter(config, { software: true, path }),
      'smoke',
    );
  }
});
