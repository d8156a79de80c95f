import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { codeBlocks } from './code-blocks.ts';

const run = promisify(execFile);
const PACKAGE = fileURLToPath(new URL('../..', import.meta.url));
const ROOT = join(PACKAGE, '..', '..');
/** Inside the package, so that its name and those of its dependencies resolve as they do for a user. */
const FOLDER = join(PACKAGE, 'dist', 'code-blocks');

/** As a user's own project would have it, for the oldest Node. */
const TSCONFIG = {
  compilerOptions: {
    target: 'es2022',
    lib: ['es2023', 'esnext.disposable', 'dom'],
    module: 'nodenext',
    strict: true,
    noUncheckedIndexedAccess: false,
    skipLibCheck: true,
    types: ['node'],
    rootDir: '.',
    outDir: 'built',
  },
  include: ['*.ts'],
};

describe('the code in README, package pages and docs', function () {
  this.timeout(180_000);
  const blocks = codeBlocks(ROOT);
  const nameOf = (index: number): string => `block-${index}`;

  before(async () => {
    await rm(FOLDER, { recursive: true, force: true });
    await mkdir(FOLDER, { recursive: true });
    await writeFile(join(FOLDER, 'tsconfig.json'), JSON.stringify(TSCONFIG));
    for (const [index, { code }] of blocks.entries()) {
      // A block without import or export would share its names with the others.
      await writeFile(join(FOLDER, `${nameOf(index)}.ts`), `${code}\nexport {};\n`);
    }
  });
  after(() => rm(FOLDER, { recursive: true, force: true }));

  it('is there', () => {
    assert.ok(blocks.length >= 9, `${blocks.length} blocks`);
  });

  it('compiles', async () => {
    const manifest = createRequire(import.meta.url).resolve('typescript/package.json');
    const tsc = join(dirname(manifest), 'bin', 'tsc');
    const failed = await run(process.execPath, [tsc, '-p', FOLDER]).then(
      () => null,
      (error: { stdout: string }) => error.stdout,
    );
    const named = failed?.replace(/\S*block-(\d+)\.ts/g, (_, index: string) => blocks[Number(index)]?.place ?? index);
    assert.equal(named ?? null, null);
  });

  for (const [index, { place, notRun }] of blocks.entries()) {
    it(`runs: ${place}`, async function () {
      if (notRun !== null) {
        console.log(`      skipped: ${place} is not run: ${notRun}`);
        this.skip();
      }
      const { stderr } = await run(process.execPath, [join(FOLDER, 'built', `${nameOf(index)}.js`)], { cwd: PACKAGE });
      assert.equal(stderr, '');
    });
  }
});
