/** hipRTC for real, on machines without a GPU: Debian's libamdhip64-5 is enough. */

import assert from 'node:assert/strict';
import { DriverTooOldError, GpuLibraryNotFoundError, UnknownArchitectureError, openHiprtc } from '@switchyard/gpu';
import type { KernelCompiler, KernelTarget } from '@switchyard/gpu';
import type { RouterConfig } from '../../src/contract.ts';
import { resolveRouterConfig } from '../../src/resolve-config.ts';
import { KernelCompileError } from '../../src/errors.ts';
import { placePlan } from '../../src/hip/kernel/dispatch-plan-launches.ts';
import { kernelSource } from '../../src/hip/kernel/source.ts';
import { specialize } from '../../src/hip/kernel/specialization.ts';

const GFX90A: KernelTarget = { vendor: 'amd', architecture: 'gfx90a', waveSize: 64 };
const GFX1030: KernelTarget = { vendor: 'amd', architecture: 'gfx1030', waveSize: 32 };

const CONFIGS: readonly RouterConfig[] = [
  { experts: 128, topK: 4, logitsDtype: 'bf16' },
  { experts: 100, topK: 6, logitsDtype: 'f32', renormalize: false, tokenExpertIndices: true, idsDtype: 'i64' },
  {
    experts: 256,
    topK: 8,
    scoring: 'sigmoid',
    groups: 8,
    topKGroups: 4,
    correctionBias: new Float32Array(256),
    expertRange: [0, 64],
  },
];

describe('hipRTC without a GPU', function () {
  this.timeout(120_000);
  let compiler: KernelCompiler;

  before(function () {
    try {
      compiler = openHiprtc();
    } catch (error) {
      if (!(error instanceof GpuLibraryNotFoundError || error instanceof DriverTooOldError)) throw error;
      console.log(`      skipped: ${error.message}`);
      this.skip();
    }
  });

  for (const target of [GFX90A, GFX1030]) {
    for (const config of CONFIGS) {
      it(`compiles the routing kernel (${config.experts}, ${config.topK}) for ${target.architecture}`, () => {
        const form = specialize(resolveRouterConfig(config), target, { tokens: 64 });
        const code = compile(compiler, target, form);
        assert.ok(isElf(code), 'the code object is an ELF file');
        assert.ok(holds(code, form.symbol), `the code object names ${form.symbol}`);
      });
    }

    it(`compiles the dispatch plan for ${target.architecture}`, () => {
      const config = resolveRouterConfig({ experts: 128, topK: 4, dispatchPlan: true, expertTiles: 32 });
      const shares = new Set<string>();
      for (const tokens of [1, 600, 65_536]) {
        const form = specialize(config, target, { tokens });
        shares.add(form.planShare);
        assert.ok(holds(compile(compiler, target, form), form.symbol), `the code object names ${form.symbol}`);
      }
      assert.deepEqual([...shares], ['alone', 'last', 'rows']);
      const placement = placePlan(config, target, specialize(config, target, { tokens: 65_536 }));
      assert.ok(holds(compile(compiler, target, placement), placement.symbol), placement.symbol);
    });
  }

  it('gives the same bytes for the same source', () => {
    const form = specialize(resolveRouterConfig({ experts: 32, topK: 4 }), GFX90A, { tokens: 64 });
    assert.deepEqual(compile(compiler, GFX90A, form), compile(compiler, GFX90A, form));
  });

  it('reports a syntax error with the compiler log', () => {
    const request = { source: 'not C++', name: 'broken.hip', architecture: 'gfx90a', defines: {} };
    assert.throws(
      () => compiler.compile(request),
      (error) => error instanceof KernelCompileError && error.target === 'gfx90a' && /error/.test(error.log),
    );
  });

  it('refuses an architecture that the compiler does not know, instead of ending the process', () => {
    const request = { source: '', name: 'empty.hip', architecture: 'gfx9999', defines: {} };
    assert.throws(
      () => compiler.compile(request),
      (error) => error instanceof UnknownArchitectureError && error.known.includes('gfx90a'),
    );
  });
});

function compile(
  compiler: KernelCompiler,
  target: KernelTarget,
  unit: {
    readonly source: Parameters<typeof kernelSource>[0];
    readonly defines: Readonly<Record<string, string | number>>;
  },
): Uint8Array {
  return compiler.compile({
    source: kernelSource(unit.source),
    name: `${unit.source}.hip`,
    architecture: target.architecture,
    defines: unit.defines,
  });
}

/** hipRTC of ROCm 5 gives a plain code object, later ones may give a bundle that holds it. */
function isElf(code: Uint8Array): boolean {
  return holds(code, '\x7fELF');
}

function holds(code: Uint8Array, text: string): boolean {
  return Buffer.from(code).includes(text, 0, 'latin1');
}
