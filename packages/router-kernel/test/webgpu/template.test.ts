import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { resolveRouterConfig } from '../../src/resolve-config.ts';
import { chooseGeometry } from '../../src/webgpu/kernel/launch-geometry.ts';
import { flagsOf, textsOf } from '../../src/webgpu/kernel/router-values.ts';
import { GATE_PARTS, PLAN_PARTS, ROUTER_PARTS, ROUTER_STEPS, TILES_PARTS } from '../../src/webgpu/kernel/source.ts';
import { CAREFUL_SEARCH_WGSL } from '../../src/webgpu/wgsl/parts/steps/careful-search.ts';

const PACKAGE = new URL('../../', import.meta.url);
const STEPS = Object.values(ROUTER_STEPS).flat();
const KERNELS = [
  [...[...ROUTER_PARTS, ...STEPS].map(({ part }) => part), CAREFUL_SEARCH_WGSL],
  PLAN_PARTS,
  TILES_PARTS,
  GATE_PARTS,
];
const PARTS = [...new Set(KERNELS.flat())];

describe('WGSL templates', () => {
  it('are embedded as they are in kernels/: else run npm run kernels', () => {
    for (const { file, text } of PARTS) assert.equal(text, readFileSync(new URL(file, PACKAGE), 'utf8'), file);
  });

  it('lie in modules of their own, and no module is without one', () => {
    const modules = readdirSync(new URL('src/webgpu/wgsl/', PACKAGE), { recursive: true, encoding: 'utf8' });
    const expected = PARTS.map(({ file }) => file.slice('kernels/'.length, -'.wgsl'.length).replaceAll('_', '-'));
    const found = modules.filter((path) => path.endsWith('.ts')).map((path) => path.slice(0, -3).replaceAll('\\', '/'));
    assert.deepEqual(found.toSorted(), expected.toSorted());
  });

  it('are all part of a kernel, each once in it', () => {
    for (const parts of KERNELS) assert.equal(new Set(parts).size, parts.length);
    const paths = readdirSync(new URL('kernels/', PACKAGE), { recursive: true, encoding: 'utf8' });
    const files = paths.filter((path) => path.endsWith('.wgsl')).map((path) => `kernels/${path.replaceAll('\\', '/')}`);
    assert.deepEqual(PARTS.map(({ file }) => file).toSorted(), files.toSorted());
  });

  it('say at every end what it closes', () => {
    for (const { file, text } of PARTS) {
      for (const [index, line] of text.split('\n').entries()) {
        assert.doesNotMatch(line, /^\s*#end\s*$/, `${file}, line ${index + 1}`);
      }
    }
  });
});

describe('what the WGSL router is filled with', () => {
  const config = resolveRouterConfig({ experts: 8, topK: 2 });
  const launch = { path: 'workgroup', minSubgroupSize: 1, tokenRange: 'few', isAligned: true } as const;
  const gate = { hiddenSize: 8, hiddenDtype: 'bf16', hasGateBias: true, router: config } as const;
  const options = { ...launch, geometry: chooseGeometry(config, launch), hasPadding: false, gate };
  const parts = [...ROUTER_PARTS, ...STEPS];
  const text = parts.map(({ part }) => part.text).join('\n');
  const asked = (pattern: RegExp): Set<string> => new Set([...text.matchAll(pattern)].map(([, name = '']) => name));

  it('has no flag that no part asks for', () => {
    const flags = new Set([...asked(/^#if !?(\w+)$/gm), ...parts.flatMap(({ when }) => when ?? [])]);
    assert.deepEqual([...flags].toSorted(), Object.keys(flagsOf(config, options)).toSorted());
  });

  it('has no text that no part has', () => {
    const given = new Set([...Object.keys(textsOf(config, options)), ...Object.keys(ROUTER_STEPS)]);
    assert.deepEqual([...asked(/\{\{(\w+)\}\}/g)].toSorted(), [...given].toSorted());
  });
});
