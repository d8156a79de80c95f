/**
 * `npm run kernels`: builds what is committed of the kernels beside their sources, and says of each file whether it
 * changed. The same sources give the same bytes; tests hold the committed files to it.
 *
 *   npm run kernels              WGSL modules, WebAssembly, native libraries, AMD code objects
 *   npm run kernels -- --check   writes nothing; exit code 1 where a file is not what its sources give
 */
import { StepFailed } from './commands.mjs';
import { shown, update } from './kernels/artefacts.mjs';
import { CODE_OBJECTS } from './kernels/code-objects.mjs';
import { NATIVE_LIBRARIES } from './kernels/native-libraries.mjs';
import { WEBASSEMBLY } from './kernels/webassembly.mjs';
import { WGSL } from './kernels/wgsl.mjs';
import { setUp } from './set-up.mjs';

/** @returns {Promise<number>} the exit code: 1 where a tool is missing, or with --check where a file differs */
export async function buildKernels(args) {
  const unknown = args.find((argument) => argument !== '--check');
  if (unknown !== undefined) throw new StepFailed(`There is no option ${unknown}: the only one is --check.`);
  const write = !args.includes('--check');
  // The packages that build the rest are themselves built with the WGSL modules.
  let isDone = await build(WGSL, write);
  await setUp();
  for (const one of [WEBASSEMBLY, NATIVE_LIBRARIES, CODE_OBJECTS]) isDone = (await build(one, write)) && isDone;
  return isDone ? 0 : 1;
}

/** @returns {Promise<boolean>} whether all of it was built, and is as it was where nothing may be written */
async function build({ name, missing, build }, write) {
  const absent = missing();
  if (absent.length > 0) {
    const advice =
      'install LLVM 22 (Debian and Ubuntu: clang-22, lld-22 and llvm-22, from apt.llvm.org where the system has none)';
    process.stderr.write(`${name} not built · ${absent.join(', ')} not found · ${advice}\n`);
    return false;
  }
  let isSame = true;
  for (const artefact of await build()) {
    const differs = await update(artefact, write);
    isSame &&= !differs;
    process.stdout.write(`${differs ? (write ? 'rewritten' : 'differs') : 'unchanged'}  ${shown(artefact.path)}\n`);
  }
  return write || isSame;
}
