/** Runs files of tests one after another, as the parent process sends them, null after the last (test-process.mjs). */
import { fileURLToPath } from 'node:url';
import Mocha from 'mocha';

const reporter = fileURLToPath(new URL('report-to-parent.cjs', import.meta.url));

process.on('message', (file) => {
  if (file === null) process.disconnect();
  else void runFile(file);
});

async function runFile({ path, grep, endOfOutput }) {
  const mocha = new Mocha({ reporter, color: false, timeout: 60_000, grep });
  mocha.addFile(path);
  await mocha.loadFilesAsync();
  await new Promise((resolve) => {
    mocha.run(resolve);
  });
  for (const stream of [process.stdout, process.stderr]) stream.write(endOfOutput);
  process.send({ type: 'end' });
}
