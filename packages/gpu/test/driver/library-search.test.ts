import assert from 'node:assert/strict';
import { rocmCandidates, thisMachine } from '../../src/driver/library-search.ts';
import { machineOf } from './paper-machine.ts';

const FROM_LINKER = ['libamdhip64.so.7', 'libamdhip64.so.6', 'libamdhip64.so.5', 'libamdhip64.so'];

describe('where ROCm is looked for', () => {
  it('is the linker path alone on a machine without anything else', () => {
    assert.deepEqual(rocmCandidates('amdhip64', machineOf()), FROM_LINKER);
    assert.deepEqual(rocmCandidates('hiprtc', machineOf()), ['libhiprtc.so.7', 'libhiprtc.so.6', 'libhiprtc.so']);
    assert.deepEqual(rocmCandidates('amd_comgr', machineOf()), [
      'libamd_comgr.so.3',
      'libamd_comgr.so.2',
      'libamd_comgr.so',
    ]);
  });

  it('begins with ROCM_PATH, HIP_PATH, /opt/rocm, its other versions and the Python wheels, in this order', () => {
    const files = [
      '/home/user/.local/lib/python3.12/site-packages/_rocm_sdk_core/lib/libamdhip64.so.7',
      '/opt/rocm-6.9.0/lib/libamdhip64.so.6',
      '/opt/rocm-6.10.0/lib/libamdhip64.so.6',
      '/opt/rocm/lib/libamdhip64.so.7',
      '/opt/rocm-notes/lib/libamdhip64.so.9',
      '/opt/hip/lib/libamdhip64.so.5',
      '/srv/rocm/lib/libamdhip64.so.6',
      '/venv/lib/python3.11/site-packages/_rocm_sdk_core/lib/libamdhip64.so.7',
      '/venv/lib/python3.9/site-packages/_rocm_sdk_core/lib/libamdhip64.so.6',
    ];
    const environment = { ROCM_PATH: '/srv/rocm', HIP_PATH: '/opt/hip', VIRTUAL_ENV: '/venv' };
    assert.deepEqual(rocmCandidates('amdhip64', machineOf(files, environment)), [
      '/srv/rocm/lib/libamdhip64.so.6',
      '/opt/hip/lib/libamdhip64.so.5',
      '/opt/rocm/lib/libamdhip64.so.7',
      '/opt/rocm-6.10.0/lib/libamdhip64.so.6',
      '/opt/rocm-6.9.0/lib/libamdhip64.so.6',
      '/venv/lib/python3.11/site-packages/_rocm_sdk_core/lib/libamdhip64.so.7',
      '/venv/lib/python3.9/site-packages/_rocm_sdk_core/lib/libamdhip64.so.6',
      '/home/user/.local/lib/python3.12/site-packages/_rocm_sdk_core/lib/libamdhip64.so.7',
      ...FROM_LINKER,
    ]);
  });

  it('takes any version, the newest first, and a file with several names once', () => {
    const real = '/opt/rocm/lib/libamdhip64.so.7.2.70200';
    const files = [
      ['/opt/rocm/lib/libamdhip64.so', real],
      ['/opt/rocm/lib/libamdhip64.so.7', real],
      real,
      '/opt/rocm/lib/libamdhip64.so.10',
      '/opt/rocm/lib/libamdhip64.so.10.debug',
      '/opt/rocm/lib/libamdhip64.a',
    ] as const;
    assert.deepEqual(rocmCandidates('amdhip64', machineOf(files)), [
      '/opt/rocm/lib/libamdhip64.so.10',
      real,
      ...FROM_LINKER,
    ]);
  });

  it('names a folder that somebody set and that holds nothing, after what is there', () => {
    const machine = machineOf(['/opt/rocm/lib/libamdhip64.so.6'], { ROCM_PATH: '/nowhere', HIP_PATH: '' });
    assert.deepEqual(rocmCandidates('amdhip64', machine).slice(0, 2), [
      '/opt/rocm/lib/libamdhip64.so.6',
      '/nowhere/lib/libamdhip64.so',
    ]);
  });

  it('begins beside a library that is in use, where that was found by its path', () => {
    const files = ['/opt/rocm/lib/libhiprtc.so.7', '/opt/rocm-6.4.0/lib/libhiprtc.so.6'];
    const beside = (path: string) => rocmCandidates('hiprtc', machineOf(files), path)[0];
    assert.equal(beside('/opt/rocm-6.4.0/lib/libamdhip64.so.6'), '/opt/rocm-6.4.0/lib/libhiprtc.so.6');
    assert.equal(beside('libamdhip64.so.6'), '/opt/rocm/lib/libhiprtc.so.7');
  });

  it('looks through PYTHONPATH', () => {
    const file = '/tools/python/_rocm_sdk_core/lib/libamd_comgr.so.3';
    assert.equal(rocmCandidates('amd_comgr', machineOf([file], { PYTHONPATH: '/other:/tools/python' }))[0], file);
  });

  it('is answered on this machine, whatever it has', () => {
    assert.ok(rocmCandidates('amdhip64', thisMachine()).length >= FROM_LINKER.length);
  });
});
