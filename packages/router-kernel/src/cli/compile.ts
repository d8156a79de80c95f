/** `router-kernel compile`: the kernel of a shape for an architecture, and what the compiler made of it. */

import { writeFileSync } from 'node:fs';
import { compilerName, openHiprtc, openNvrtc, parseKernelTarget, placeKernelArguments } from '@switchyard/gpu';
import type { KernelTarget } from '@switchyard/gpu';
import {
  LLVM_VERSION,
  compileOffline,
  disassemble,
  findLlvm,
  instructionMix,
  parseDisassembly,
  readKernelResources,
} from '@switchyard/gpu/offline';
import { MAX_EXPERTS, MAX_TOP_K } from '../contract.ts';
import { resolveRouterConfig } from '../resolve-config.ts';
import { ROUTER_KERNEL_ARGUMENTS } from '../hip/kernel/argument-lists.ts';
import { kernelSource } from '../hip/kernel/source.ts';
import { type KernelSpecialization, specialize } from '../hip/kernel/specialization.ts';
import type { CliIo } from './command.ts';
import { defineCommand, integerOf, UsageError } from './command.ts';

export const compileCommand = defineCommand({
  summary: 'Compile the HIP router for a shape and architecture; print registers, scratch, LDS and instructions.',
  options: {
    arch: { type: 'string', required: true, placeholder: 'gfxNNN|sm_NN', description: 'The architecture.' },
    experts: { type: 'string', required: true, placeholder: 'E', description: `Experts, 1 to ${MAX_EXPERTS}.` },
    'top-k': { type: 'string', required: true, placeholder: 'K', description: `Winners, 1 to ${MAX_TOP_K}.` },
    dtype: { type: 'string', choices: ['bf16', 'f16', 'f32'], default: 'bf16', description: 'Type of the logits.' },
    ids: { type: 'string', choices: ['i32', 'u32', 'i64'], default: 'i32', description: 'Type of the ids.' },
    scoring: {
      type: 'string',
      choices: ['softmax', 'sigmoid', 'sqrtsoftplus'],
      default: 'softmax',
      description: 'From logit to score.',
    },
    plain: { type: 'boolean', description: 'Do not renormalise the weights.' },
    bias: { type: 'boolean', description: 'Take a correction bias.' },
    groups: { type: 'string', default: '1', placeholder: 'N', description: 'Expert groups.' },
    'top-k-groups': { type: 'string', placeholder: 'N', description: 'Groups that stay; all by default.' },
    tokens: { type: 'string', default: '1', placeholder: 'T', description: 'T, which the launch geometry follows.' },
    padding: { type: 'boolean', description: 'Take a padding mask and a row count.' },
    out: { type: 'string', placeholder: 'FILE', description: 'Write the code object.' },
    name: { type: 'boolean', description: "Print the kernel's symbol and its argument layout, and compile nothing." },
    json: { type: 'boolean', description: 'Print one JSON object.' },
  },
  run: async (values, io) => {
    const experts = integerOf('experts', values.experts, 1, MAX_EXPERTS);
    const groups = integerOf('groups', values.groups, 1, MAX_EXPERTS);
    const topKGroups = values['top-k-groups'];
    const config = resolveRouterConfig({
      experts,
      topK: integerOf('top-k', values['top-k'], 1, MAX_TOP_K),
      logitsDtype: values.dtype,
      idsDtype: values.ids,
      scoring: values.scoring,
      renormalize: !values.plain,
      groups,
      ...(topKGroups === undefined ? {} : { topKGroups: integerOf('top-k-groups', topKGroups, 1, groups) }),
      ...(values.bias ? { correctionBias: new Float32Array(experts) } : {}),
    });
    const target = targetFor(values.arch);
    const tokens = integerOf('tokens', values.tokens, 1);
    const form = specialize(config, target, { tokens, padding: values.padding });
    if (values.name) {
      printName(form, values.json, io);
      return 0;
    }
    const compiled = compileFor(target, form);
    if (values.out !== undefined) writeFileSync(values.out, compiled.code);
    const shape = { arch: compilerName(target), experts, topK: config.topK, dtype: config.logitsDtype };
    const found = { ...shape, ...(compiled.canInspect ? inspect(compiled.code, form.symbol) : NOT_INSPECTED) };
    if (values.json) {
      io.out(`${JSON.stringify({ ...found, compiler: compiled.compiler, symbol: form.symbol })}\n`);
      return 0;
    }
    io.out(
      `${form.symbol}\ncompiled for ${compilerName(target)} by ${compiled.compiler}, ${compiled.code.length} bytes\n`,
    );
    io.out(
      compiled.canInspect
        ? describe(found)
        : `not inspected: that takes llvm-readelf-${LLVM_VERSION} and an AMD target\n`,
    );
    return 0;
  },
});

interface Inspection {
  readonly vgprs: number | null;
  readonly sgprs: number | null;
  readonly scratch: number | null;
  readonly lds: number | null;
  readonly instructions: number | null;
  readonly mix: Readonly<Record<string, number>> | null;
}

const NOT_INSPECTED: Inspection = {
  vgprs: null,
  sgprs: null,
  scratch: null,
  lds: null,
  instructions: null,
  mix: null,
};

/** @throws UsageError, UnsupportedArchitectureError */
function targetFor(architecture: string): KernelTarget {
  const target = parseKernelTarget(architecture);
  if (target !== null) return target;
  throw new UsageError(
    `--arch must be an architecture such as gfx942, gfx90a:sramecc+:xnack- or sm_90 · found '${architecture}' · give one of a GPU that router-kernel devices lists`,
  );
}

/** clang where it is installed, since its objects can be inspected; the vendor's runtime compiler elsewhere. */
function compileFor(
  target: KernelTarget,
  form: KernelSpecialization,
): { readonly code: Uint8Array; readonly compiler: string; readonly canInspect: boolean } {
  const { vendor } = target;
  const architecture = compilerName(target);
  const source = kernelSource(form.source);
  const clang = vendor === 'amd' ? findLlvm() : null;
  if (clang !== null) {
    const code = compileOffline({ source, defines: form.defines, architecture });
    return { code, compiler: clang, canInspect: true };
  }
  const compiler = vendor === 'amd' ? openHiprtc() : openNvrtc();
  const code = compiler.compile({ source, name: `${form.source}.hip`, architecture, defines: form.defines });
  return { code, compiler: compiler.version, canInspect: false };
}

function inspect(code: Uint8Array, symbol: string): Inspection {
  const resources = readKernelResources(code).find((kernel) => kernel.symbol === symbol);
  const instructions = parseDisassembly(disassemble(code), symbol);
  return {
    vgprs: resources?.vgprs ?? null,
    sgprs: resources?.sgprs ?? null,
    scratch: resources?.scratch ?? null,
    lds: resources?.lds ?? null,
    instructions: instructions.length,
    mix: { ...instructionMix(instructions) },
  };
}

function describe({ vgprs, sgprs, scratch, lds, instructions, mix }: Inspection): string {
  const kinds = Object.entries(mix ?? {}).map(([kind, count]) => `  ${kind.padEnd(24)}${String(count).padStart(6)}\n`);
  return [
    `vector registers ${vgprs}, scalar registers ${sgprs}, scratch ${scratch} bytes, LDS ${lds} bytes\n`,
    `${instructions} instructions\n`,
    ...kinds,
  ].join('');
}

function printName(form: KernelSpecialization, json: boolean, io: CliIo): void {
  const { placed, bytes } = placeKernelArguments(ROUTER_KERNEL_ARGUMENTS);
  const { symbol, lanesPerToken, tokensPerBlock, threadsPerBlock, loadBytes } = form;
  if (json) {
    const geometry = { lanesPerToken, tokensPerBlock, threadsPerBlock, loadBytes };
    io.out(`${JSON.stringify({ symbol, ...geometry, argumentBytes: bytes, arguments: placed })}\n`);
    return;
  }
  io.out(
    `${symbol}\n${threadsPerBlock} threads a block, ${tokensPerBlock} tokens a block, ${lanesPerToken} lanes a token\n`,
  );
  io.out(`arguments, ${bytes} bytes:\n`);
  for (const { name, type, offset, doc } of placed) {
    io.out(`  ${String(offset).padStart(3)}  ${type.padEnd(8)}${name.padEnd(22)}${doc}\n`);
  }
}
