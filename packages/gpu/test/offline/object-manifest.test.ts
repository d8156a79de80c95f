import assert from 'node:assert/strict';
import { manifestText, requestHash, staleObjects } from '../../src/offline/object-manifest.ts';
import type { ArchiveRequest, ObjectManifest } from '../../src/offline/object-manifest.ts';

const SCALE = { name: 'scale', source: 'text', defines: { WIDTH: 4 }, keys: ['scale_4'] };
const ADD = { name: 'add', source: 'other text', keys: ['add'] };
const REQUESTS: readonly ArchiveRequest[] = [{ architecture: 'gfx942', objects: [SCALE, ADD] }];

const KERNEL = {
  symbol: 'scale_4',
  vgprs: 1,
  sgprs: 2,
  vgprSpills: 0,
  sgprSpills: 0,
  lds: 0,
  scratch: 0,
  instructions: 9,
};
const MANIFEST: ObjectManifest = {
  compiler: 'clang 22',
  architectures: [
    {
      architecture: 'gfx942',
      file: 'gfx942.objects.br',
      bytes: 10,
      sha256: 'ab',
      objects: [
        { name: 'scale', bytes: 4, identity: 'a', requests: [requestHash(SCALE)], kernels: [KERNEL] },
        { name: 'add', bytes: 4, identity: 'b', requests: [requestHash(ADD)], kernels: [] },
      ],
    },
  ],
};

describe('the manifest of code objects', () => {
  it('is text with a line for each kernel, and reads back', () => {
    const text = manifestText(MANIFEST);
    assert.deepEqual(JSON.parse(text), MANIFEST);
    assert.equal(text.split('\n').filter((line) => line.includes('"symbol"')).length, 1);
    assert.equal(manifestText(JSON.parse(text)), text);
  });

  it('has nothing stale where requests are those that it was built from', () => {
    assert.deepEqual(staleObjects(REQUESTS, MANIFEST), []);
  });

  it('tells what is of another text, other macros or other keys, missing, or of no use', () => {
    for (const change of [{ source: 'new text' }, { defines: { WIDTH: 8 } }, { keys: ['scale_8'] }]) {
      const changed = [{ architecture: 'gfx942', objects: [{ ...SCALE, ...change }, ADD] }];
      assert.deepEqual(staleObjects(changed, MANIFEST), [
        'gfx942.objects.br lacks scale',
        'gfx942.objects.br has another scale',
      ]);
    }
    assert.deepEqual(staleObjects([{ architecture: 'gfx90a', objects: [ADD] }], MANIFEST), [
      'gfx90a.objects.br lacks add',
      'gfx942.objects.br is of no use',
    ]);
  });
});
