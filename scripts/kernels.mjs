/**
 * `npm run kernels`: builds what is committed of the kernels beside their sources, and says of each file whether it
 * changed. The same sources give the same bytes; tests hold the committed files to it.
 *
 *   npm run kernels              WGSL modules, WebAssembly, native libraries, AMD code objects of router and engine
 *   npm run kernels -- engine    a part: wgsl, webassembly, native, router, engine; several may be named
 *   npm run kernels -- --check   makes all again and writes nothing; exit code 1 where a file is not what its sources give
 */
import { StepFailed } from './commands.mjs';
import { shown, update } from './kernels/artefacts.mjs';
import { ENGINE_OBJECTS, ROUTER_OBJECTS } from './kernels/code-objects.mjs';
import { NATIVE_LIBRARIES } from './kernels/native-libraries.mjs';
import { WEBASSEMBLY } from './kernels/webassembly.mjs';
import { WGSL } from './kernels/wgsl.mjs';
import { setUp } from './set-up.mjs';

const PARTS = [WGSL, WEBASSEMBLY, NATIVE_LIBRARIES, ROUTER_OBJECTS, ENGINE_OBJECTS];

/** @returns {Promise<number>} the exit code: 1 where a tool is missing, or with --check where a file differs */
export async function buildKernels(args) {
  const names = PARTS.map(({ name }) => name);
  const unknown = args.find((argument) => argument !== '--check' && !names.includes(argument));
  if (unknown !== undefined) throw new StepFailed(`There is no ${unknown}: there are --check, ${names.join(', ')}.`);
  const write = !args.includes('--check');
  const asked = PARTS.filter(({ name }) => args.includes(name));
  const parts = asked.length === 0 ? PARTS : asked;
  let isDone = true;
  // The packages that build the rest are themselves built with the WGSL modules.
  if (parts.includes(WGSL)) isDone = await build(WGSL, write);
  await setUp();
  for (const one of parts.filter((part) => part !== WGSL)) isDone = (await build(one, write)) && isDone;
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
  for (const artefact of await build(!write)) {
    const differs = await update(artefact, write);
    isSame &&= !differs;
    process.stdout.write(`${differs ? (write ? 'rewritten' : 'differs') : 'unchanged'}  ${shown(artefact.path)}\n`);
  }
  return write || isSame;
}
