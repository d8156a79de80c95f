#!/usr/bin/env node
import { existsSync } from 'node:fs';
import process from 'node:process';

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
const main = new URL('../dist/cli/main.js', import.meta.url);
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(`switchyard needs Node 20.19 or newer · found ${process.versions.node} · install a newer Node`);
  process.exitCode = 1;
} else if (!existsSync(main)) {
  console.error('switchyard is not built · found no dist/ folder · run npm start or npm test at the root once');
  process.exitCode = 1;
} else {
  // A reader that goes away, such as head, is no error.
  process.stdout.on('error', (error) => process.exit(error.code === 'EPIPE' ? 0 : 1));
  const { main: run } = await import(main);
  process.exitCode = await run(process.argv.slice(2));
}
