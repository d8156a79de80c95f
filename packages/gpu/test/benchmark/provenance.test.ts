import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { commitOf, versionsOf } from '../../src/benchmark/provenance.ts';

describe('the code that was measured', () => {
  let folder = '';
  const git = (...words: string[]): string =>
    execFileSync('git', ['-c', 'user.name=x', '-c', 'user.email=x@example.com', ...words], {
      cwd: folder,
      encoding: 'utf8',
    });
  const manifest = (name: string): URL => pathToFileURL(join(folder, name, 'package.json'));
  const write = (name: string, file: string, text: string): void => {
    mkdirSync(join(folder, name), { recursive: true });
    writeFileSync(join(folder, name, file), text);
  };

  before(function () {
    folder = mkdtempSync(join(tmpdir(), 'switchyard-commit-'));
    try {
      git('init', '--quiet');
    } catch {
      console.log('      skipped: there is no git');
      this.skip();
    }
    write('packages/one', 'package.json', '{ "name": "one", "version": "1.2.3" }');
    write('packages/two', 'two.ts', 'export {};');
    write('docs', 'figures.json', '{}');
    git('add', '.');
    git('commit', '--quiet', '--message', 'first');
    write('packages/one/node_modules/three', 'package.json', '{ "name": "three", "version": "4.5.6" }');
    write(
      'packages/one/node_modules/three/node_modules/five',
      'package.json',
      '{ "name": "five", "version": "7.8.9" }',
    );
    writeFileSync(join(folder, '.git', 'info', 'exclude'), 'node_modules\n');
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  it('is known by its commit, wherever in the repository the package is', () => {
    assert.deepEqual(commitOf(manifest('packages/one')), { hash: git('rev-parse', 'HEAD').trim(), changed: [] });
  });

  it('has changed where a source of any package has, and not where a document has', () => {
    write('docs', 'figures.json', '{ "changed": true }');
    write('packages/one', 'README.md', 'new');
    assert.deepEqual(commitOf(manifest('packages/one'))?.changed, []);
    write('packages/two', 'two.ts', 'export const changed = true;');
    write('packages/one', 'new.ts', '');
    assert.deepEqual(commitOf(manifest('packages/one'))?.changed?.toSorted(), [
      'packages/one/new.ts',
      'packages/two/two.ts',
    ]);
  });

  it('is not the commit of the repository that a package is installed in', () => {
    assert.equal(commitOf(manifest('packages/one/node_modules/three')), null);
    assert.equal(commitOf(pathToFileURL(join(tmpdir(), 'no-such-folder', 'package.json'))), null);
  });

  it('has the versions of Node, of the package and of those that it and they find', () => {
    assert.deepEqual(versionsOf(manifest('packages/one'), ['three', 'four', 'five']), {
      node: process.versions.node,
      one: '1.2.3',
      three: '4.5.6',
      five: '7.8.9',
    });
  });
});
