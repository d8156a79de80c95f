/** Runs the router's shader in a geometry of the test's choosing, whatever geometry a router would take. */

import { checkRouteArguments } from '../../src/resolve-config.ts';
import type { Logits, ResolvedRouterConfig, RouterOutput } from '../../src/contract.ts';
import { compareOutput } from '../../src/suite/index.ts';
import type { ExchangePath, LaunchGeometry } from '../../src/webgpu/kernel/launch-geometry.ts';
import { routerShader } from '../../src/webgpu/kernel/router-shader.ts';

/** GPUBufferUsage.STORAGE | COPY_SRC | COPY_DST, whose global Node does not have. */
const STORAGE_COPY = 0x8c;
/** GPUBufferUsage.UNIFORM | COPY_DST. */
const UNIFORM_COPY = 0x48;
/** GPUBufferUsage.MAP_READ | COPY_DST. */
const READBACK = 0x9;

/** What a run needs beside its logits: rows without gaps or padding, and ids of 32 bits. */
export interface ShaderRun {
  readonly device: GPUDevice;
  readonly config: ResolvedRouterConfig;
  readonly geometry: LaunchGeometry;
  readonly path: ExchangePath;
  readonly isContiguous: boolean;
  /** Changes the shader on its way to the compiler. */
  readonly rewriteCode?: (code: string) => string;
}

/** Routes T rows. */
export async function runShader(run: ShaderRun, logits: Logits): Promise<RouterOutput> {
  const { device, config, geometry, path, isContiguous, rewriteCode } = run;
  const { experts, topK } = config;
  const tokens = logits.length / experts;
  const code = routerShader(config, { geometry, path, hasPadding: false, isAligned: true, isContiguous });
  const module = device.createShaderModule({ code: rewriteCode?.(code) ?? code });
  const pipeline = await device.createComputePipelineAsync({
    layout: 'auto',
    compute: { module, entryPoint: 'route' },
  });
  const call = new Uint32Array(16);
  call.set([tokens, experts / geometry.logitsPerLoad, tokens]);
  call[12] = tokens;
  const bytes = tokens * topK * 4;
  const buffer = (size: number, usage: number): GPUBuffer => device.createBuffer({ size, usage });
  const [uniform, input, weights, ids, readback] = [
    buffer(64, UNIFORM_COPY),
    buffer(logits.byteLength, STORAGE_COPY),
    buffer(bytes, STORAGE_COPY),
    buffer(bytes, STORAGE_COPY),
    buffer(2 * bytes, READBACK),
  ] as const;
  device.queue.writeBuffer(uniform, 0, call);
  device.queue.writeBuffer(input, 0, logits);
  const commands = device.createCommandEncoder();
  const pass = commands.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(
    0,
    device.createBindGroup({
      layout: pipeline.getBindGroupLayout(0),
      entries: [uniform, input, weights, ids]
        .map((bound, binding) => ({ binding, resource: { buffer: bound } }))
        .slice(isContiguous ? 1 : 0),
    }),
  );
  pass.dispatchWorkgroups(Math.ceil(tokens / geometry.tokensPerWorkgroup));
  pass.end();
  commands.copyBufferToBuffer(weights, 0, readback, 0, bytes);
  commands.copyBufferToBuffer(ids, 0, readback, bytes, bytes);
  device.queue.submit([commands.finish()]);
  await readback.mapAsync(1);
  const mapped = readback.getMappedRange();
  const slots = tokens * topK;
  const output: RouterOutput = {
    tokens,
    weights: new Float32Array(mapped, 0, slots).slice(),
    ids: new Int32Array(mapped, bytes, slots).slice(),
  };
  for (const made of [uniform, input, weights, ids, readback]) made.destroy();
  return output;
}

/** Runs the shader and says what is wrong with its answers, in words. */
export async function problemsOfRun(run: ShaderRun, logits: Logits): Promise<readonly string[]> {
  const output = await runShader(run, logits);
  return compareOutput(run.config, logits, checkRouteArguments(run.config, logits), output).problems;
}
