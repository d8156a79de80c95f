import assert from 'node:assert/strict';
import { expandTemplate } from '../../src/webgpu/template.ts';

const values = { texts: { NAME: 'x', LINES: 'one $k' }, flags: { ON: true, OFF: false }, repeats: 3 };

describe('WGSL templates', () => {
  it('keep the lines of the branch that holds', () => {
    const source = '#if ON\na\n#if OFF\nb\n#else\nc\n#end\n#else\nd\n#end\ne';
    assert.equal(expandTemplate(source, values), 'a\nc\ne');
  });

  it('repeat lines, from a number on, in filled-in texts too', () => {
    assert.equal(expandTemplate('#repeat k 1\n{{LINES}}\n#end', values), 'one 1\none 2');
  });

  it('refuse unknown names and open blocks', () => {
    assert.throws(() => expandTemplate('{{OTHER}}', values), /unknown text OTHER/);
    assert.throws(() => expandTemplate('#if OTHER\n#end', values), /unknown flag OTHER/);
    assert.throws(() => expandTemplate('#if ON\na', values), /not closed/);
    assert.throws(() => expandTemplate('a\n#end', values), /#end or #else/);
  });
});
