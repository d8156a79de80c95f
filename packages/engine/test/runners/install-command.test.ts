import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { installCommand } from '../../src/runners/install-command.ts';

const COMMAND = 'npm install --no-save --ignore-scripts';

describe('The command that installs a missing library', () => {
  const file = (folder: string): string =>
    resolve(folder, 'node_modules/@switchyard/engine/dist/runners/import-ort.js');
  const project = resolve('/home/me/project');

  it('is short in the project that has the engine, and in a checkout', () => {
    assert.equal(installCommand('a@1', file(project), project), `${COMMAND} a@1`);
    assert.equal(installCommand('a@1', resolve('/src/packages/engine/dist/runners/x.js'), project), `${COMMAND} a@1`);
  });

  it('names the folder everywhere else: in npx, globally, in a folder of the project', () => {
    const npx = resolve('/home/me/.npm/_npx/0123456789abcdef');
    assert.equal(installCommand('a@1', file(npx), project), `${COMMAND} --prefix ${npx} a@1`);
    assert.equal(installCommand('a@1', file(project), resolve(project, 'src')), `${COMMAND} --prefix ${project} a@1`);
    const spaced = resolve('/home/my me');
    assert.equal(installCommand('a@1', file(spaced), project), `${COMMAND} --prefix "${spaced}" a@1`);
  });

  it('goes by the outermost folder, which is the one that npm knows', () => {
    const linked = resolve(project, 'node_modules/.pnpm/x/node_modules/@switchyard/engine/dist/x.js');
    assert.equal(installCommand('a@1', linked, project), `${COMMAND} a@1`);
  });
});
