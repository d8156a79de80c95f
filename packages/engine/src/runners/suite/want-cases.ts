import assert from 'node:assert/strict';
import { indexOfLargest } from '../../sampling/largest.ts';
import { logprobOf, logprobsOf } from '../../sampling/logprobs.ts';
import type { LayerRouting } from '../runner.ts';
import type { RunnerCase } from './suite-run.ts';
import { assertClose, assertSameBits } from './suite-run.ts';

/** What a step gives back is what was asked for, and no more. */
export const wantCases: readonly RunnerCase[] = [
  {
    section: 'wants',
    name: "'none', 'token', 'last' and 'all' give nothing, a token, one row and a row for each token",
    run: async (suite) => {
      const width = suite.runner.vocabularySize;
      const tokens = suite.prompt(0);
      const wants = ['none', 'token', 'last', 'all'] as const;
      const sampler = suite.sampler();
      const outputs = [];
      for (const want of wants) outputs.push(await suite.alone({ sequence: suite.sequence(), tokens, want, sampler }));
      assert.deepEqual(
        outputs.map(({ logits }) => logits.length),
        [0, 0, width, tokens.length * width],
      );
      const last = outputs[2]?.logits ?? new Float32Array(0);
      assert.deepEqual(
        outputs.map(({ token }) => token),
        [-1, indexOfLargest(last), -1, -1],
        "only 'token' chooses, and greedily the likeliest",
      );
      assertClose(
        (outputs[3]?.logits ?? last).subarray(-width),
        last,
        suite.tolerances.betweenKinds,
        "'all' and 'last'",
      );
      for (const { logprobs, targetLogprobs, routing, failure } of outputs) {
        assert.deepEqual([logprobs, targetLogprobs, routing, failure], [undefined, undefined, undefined, undefined]);
      }
    },
  },
  {
    section: 'wants',
    name: 'several kinds side by side give each its own',
    run: async (suite) => {
      const wants = ['all', 'none', 'last', 'token'] as const;
      const sampler = suite.sampler();
      const outputs = await suite.step(
        wants.map((want, index) => ({ sequence: suite.sequence(), tokens: suite.prompt(index), want, sampler })),
      );
      const width = suite.runner.vocabularySize;
      assert.deepEqual(
        outputs.map(({ logits }) => logits.length / width),
        [suite.prompt(0).length, 0, 1, 0],
      );
      for (const [index, output] of outputs.entries()) {
        const expected = await suite.logitsAfter(suite.prompt(index));
        if (output.logits.length > 0) {
          assertClose(output.logits.subarray(-width), expected, suite.tolerances.betweenKinds, `sequence ${index}`);
        }
        if (index === 3) assert.equal(output.token, indexOfLargest(expected));
      }
    },
  },
  {
    section: 'wants',
    name: "log-probabilities of a token and of its rivals are those of the row's softmax",
    run: async (suite) => {
      const source = suite.sequence();
      const tokens = suite.prompt(1);
      await suite.append(source, tokens.subarray(0, -1));
      const copy = suite.fork(source, tokens.length - 1);
      assert.ok(copy !== null);
      const next = tokens.subarray(-1);
      const { logits } = await suite.alone({ sequence: source, tokens: next, want: 'last' });
      const sampler = suite.sampler();
      const found = await suite.alone({ sequence: copy, tokens: next, want: 'token', sampler, logprobs: 5 });
      assert.ok(found.logprobs !== undefined);
      const expected = logprobsOf(logits, found.token, 5);
      assert.deepEqual([...found.logprobs.topIds], [...expected.topIds]);
      [found.logprobs.logprob, ...found.logprobs.topLogprobs].forEach((logprob, index) => {
        const right = [expected.logprob, ...expected.topLogprobs][index] as number;
        assert.ok(Math.abs(logprob - right) < 1e-5, `log-probability ${logprob}, expected ${right}`);
      });
    },
  },
  {
    section: 'wants',
    name: 'targets give the log-probability of each, as the rows of all positions have it, and no row',
    run: async (suite) => {
      const tokens = suite.prompt(2);
      const width = suite.runner.vocabularySize;
      const targets = Int32Array.from(tokens, (_, index) => (index * 37) % width);
      const rows = await suite.logitsInPieces(tokens, [tokens.length]);
      const found = await suite.alone({ sequence: suite.sequence(), tokens, want: 'none', targets });
      assert.equal(found.logits.length, 0);
      assert.equal(found.targetLogprobs?.length, tokens.length);
      targets.forEach((target, row) => {
        const right = logprobOf(rows.subarray(row * width, (row + 1) * width), target);
        const logprob = found.targetLogprobs?.[row] as number;
        assert.ok(
          Math.abs(logprob - right) <= suite.tolerances.betweenKinds,
          `row ${row}: ${logprob}, expected ${right}`,
        );
      });
    },
  },
  {
    section: 'wants',
    name: 'routing is told to those who ask, and every slot is counted once',
    run: async (suite) => {
      const { runner } = suite;
      const before = runner.expertLoad.counts.slice();
      const heard: LayerRouting[] = [];
      const [traced, untraced] = [suite.prompt(0), suite.prompt(3)];
      runner.onRouting = (routing) => heard.push(routing);
      const outputs = await suite.step([
        { sequence: suite.sequence(), tokens: traced, want: 'none', traceRouting: true },
        { sequence: suite.sequence(), tokens: untraced, want: 'none' },
      ]);
      runner.onRouting = null;
      await suite.append(suite.sequence(), traced.subarray(0, 1));
      const { layers, experts, counts } = runner.expertLoad;
      assert.equal(outputs[1]?.routing, undefined);
      const routing = outputs[0]?.routing ?? [];
      assert.deepEqual(
        routing.map(({ layer }) => layer),
        Array.from({ length: layers }, (_, layer) => layer),
      );
      const topK = (routing[0]?.ids.length ?? 0) / traced.length;
      const slots = (traced.length + untraced.length + 1) * topK;
      for (let layer = 0; layer < layers; layer++) {
        const gained = counts
          .subarray(layer * experts, (layer + 1) * experts)
          .map((count, expert) => count - (before[layer * experts + expert] as number));
        assert.equal(
          gained.reduce((sum, count) => sum + count, 0),
          slots,
          `slots counted in layer ${layer}`,
        );
        const rows = heard.filter((entry) => entry.layer === layer);
        assert.equal(
          rows.reduce((sum, { ids }) => sum + ids.length, 0),
          (traced.length + untraced.length) * topK,
          'rows heard while somebody listens',
        );
        const whole = rows.flatMap(({ ids }) => [...ids]);
        assert.deepEqual(
          whole.slice(0, traced.length * topK),
          [...(routing[layer]?.ids ?? [])],
          'the traced rows come first',
        );
      }
    },
  },
  {
    section: 'wants',
    name: 'asking changes nothing: the same step with more asked has the same logits',
    run: async (suite) => {
      const tokens = suite.prompt(4);
      const plain = await suite.alone({ sequence: suite.sequence(), tokens, want: 'last' });
      const traced = await suite.alone({ sequence: suite.sequence(), tokens, want: 'last', traceRouting: true });
      assertSameBits(traced.logits, plain.logits, 'with routing traced');
    },
  },
];
