import assert from 'node:assert/strict';
import { expandParts, expandTemplate } from '../../src/webgpu/template.ts';

const values = { texts: { NAME: 'x', LINES: 'one $k' }, flags: { ON: true, OFF: false }, repeats: 3 };

describe('WGSL templates', () => {
  it('keep the lines of the branch that holds', () => {
    const source = '#if ON\na\n#if OFF\nb\n#else\nc\n#end\n#else\nd\n#end\ne';
    assert.equal(expandTemplate(source, values), 'a\nc\ne');
  });

  it('keep the lines of a flag that is not set', () => {
    assert.equal(expandTemplate('#if !OFF\na\n#else\nb\n#end\n#if !ON\nc\n#end', values), 'a');
    assert.equal(expandTemplate('#if OFF\n#if !ON\na\n#else\nb\n#end\n#else\nc\n#end', values), 'c');
  });

  it('repeat lines, from a number on, in filled-in texts too', () => {
    assert.equal(expandTemplate('#repeat k 1\n{{LINES}}\n#end', values), 'one 1\none 2');
  });

  it('repeat as often as they are told, not at all included, and leave names that only begin alike', () => {
    assert.equal(expandTemplate('a\n#repeat k 3\nb$k\n#end', values), 'a');
    assert.equal(expandTemplate('#repeat k 2\na$k $kind $k\n#end', values), 'a2 $kind 2');
    assert.equal(expandTemplate('#if OFF\n#repeat k\na$k\n#end\n#end', values), '');
  });

  it('indent every line of a text as the line is that it stands alone on', () => {
    const texts = { BODY: 'a {\n  b\n\n}', NONE: '' };
    assert.equal(
      expandTemplate('f {\n  {{BODY}}\n  {{NONE}}\n}', { ...values, texts }),
      'f {\n  a {\n    b\n\n  }\n\n}',
    );
    assert.equal(expandTemplate('  x = {{BODY}};', { ...values, texts }), '  x = a {\n  b\n\n};');
  });

  it('may say at an end what it closes', () => {
    const source = '#if ON\n#repeat k 2\n#if !OFF\na$k\n#end !OFF\n#end k\n#end ON';
    assert.equal(expandTemplate(source, values), 'a2');
    assert.throws(
      () => expandTemplate('#if ON\n#if OFF\n#end ON\n#end OFF', values),
      /line 3: #end ON closes OFF of line 2/,
    );
    assert.throws(() => expandTemplate('#if !ON\n#end ON', values), /line 2: #end ON closes !ON of line 1/);
    assert.throws(() => expandTemplate('#repeat k\n#end ON', values), /line 2: #end ON closes k of line 1/);
  });

  it('refuse unknown names and open blocks', () => {
    assert.throws(() => expandTemplate('{{OTHER}}', values), /unknown text OTHER/);
    assert.throws(() => expandTemplate('#if OTHER\n#end', values), /unknown flag OTHER/);
    assert.throws(() => expandTemplate('#if ON\na', values), /not closed/);
    assert.throws(() => expandTemplate('a\n#end', values), /#end or #else/);
  });

  it('refuse what would pass for code, an #else too many, and names in branches that are not taken', () => {
    assert.throws(() => expandTemplate('#ifdef ON\n#end', values), /line 1: unknown directive #ifdef/);
    assert.throws(() => expandTemplate('#if\n#end', values), /line 1: #if has too few or too many words/);
    assert.throws(() => expandTemplate('#if ON OFF\n#end', values), /line 1: #if has too few or too many words/);
    assert.throws(() => expandTemplate('#repeat k one\n#end', values), /line 1: one is no number/);
    assert.throws(
      () => expandTemplate('#if ON\n#else\n#else\n#end', values),
      /line 3: an #else that belongs to no #if/,
    );
    assert.throws(() => expandTemplate('#repeat k\n#else\n#end', values), /line 2: an #else that belongs to no #if/);
    assert.throws(() => expandTemplate('#if OFF\n{{OTHER}}\n#end', values), /line 2: unknown text OTHER/);
    assert.throws(() => expandTemplate('#if OFF\n#if OTHER\n#end\n#end', values), /line 2: unknown flag OTHER/);
  });

  it('are joined part by part, and say which file and line is wrong', () => {
    const part = (file: string, text: string): { file: string; text: string } => ({ file, text });
    assert.equal(
      expandParts([part('a.wgsl', '{{NAME}}\n'), part('b.wgsl', '#if ON\nb\n#end ON\n')], values),
      'x\n\nb\n',
    );
    assert.throws(
      () => expandParts([part('a.wgsl', 'a'), part('parts/b.wgsl', 'b\n\n{{OTHER}}')], values),
      /^Error: parts\/b\.wgsl, line 3: unknown text OTHER\.$/,
    );
    assert.throws(
      () => expandParts([part('a.wgsl', '#if ON'), part('b.wgsl', '#end')], values),
      /^Error: a\.wgsl, line 1/,
    );
  });
});
