import assert from 'node:assert/strict';
import { embeddedCheckpointPath, openSnapshot } from '@switchyard/models';
import type { Snapshot } from '@switchyard/models';
import { ContextLengthError, DisposedError } from '../../../src/errors.ts';
import type { LogitsRunner } from '../../../src/runners/logits-runner.ts';
import type { LayerRouting } from '../../../src/runners/runner.ts';
import { InvalidStepError, RunnerBusyError, UnknownSequenceError } from '../../../src/runners/errors.ts';
import { createOrtRunner } from '../../../src/runners/ort/index.ts';
import { planOrtMemory } from '../../../src/runners/ort/plan-memory.ts';
import { reference, surprise } from '../../golden/reference.ts';

const prompts = reference.map(({ ids }) => Int32Array.from(ids));
const longest = prompts.reduce((best, ids) => (ids.length > best.length ? ids : best));

describe('ONNX Runtime runner: sequences', () => {
  let snapshot: Snapshot;
  let runner: LogitsRunner;

  before(async () => {
    snapshot = await openSnapshot(embeddedCheckpointPath());
    runner = await createOrtRunner({ snapshot, router: 'cpu' });
  });

  after(async () => {
    await runner.dispose();
    snapshot.dispose();
  });

  /** The logits of each position, computed in steps of the given sizes (the last one repeats). */
  async function logitsInChunks(tokens: Int32Array, sizes: readonly number[]): Promise<Float32Array> {
    const sequence = runner.createSequence();
    const rows = new Float32Array(tokens.length * runner.vocabularySize);
    for (let start = 0, step = 0; start < tokens.length; step++) {
      const end = start + (sizes[step] ?? sizes.at(-1) ?? tokens.length);
      const [output] = await runner.forward([{ sequence, tokens: tokens.subarray(start, end), logits: 'all' }]);
      rows.set(output?.logits ?? [], start * runner.vocabularySize);
      start = end;
    }
    assert.equal(runner.length(sequence), tokens.length);
    runner.releaseSequence(sequence);
    return rows;
  }

  it('gives the same logits for a full prefill, chunks of any size and single tokens, past the window', async () => {
    assert.ok(longest.length > 2 * 128);
    const whole = await logitsInChunks(longest, [longest.length]);
    for (const sizes of [[1], [7], [100], [128], [129, 1], [1, 127, 3, 64]]) {
      const chunked = await logitsInChunks(longest, sizes);
      assert.ok(largestDifference(whole, chunked) < 2e-4, `chunks of ${sizes.join(', ')}`);
    }
  });

  it('cuts a prompt longer than one piece without a change', async () => {
    const tokens = Int32Array.from({ length: 700 }, (_, index) => longest[index % longest.length] as number);
    const whole = await logitsInChunks(tokens, [700]);
    const chunked = await logitsInChunks(tokens, [300, 212, 188]);
    assert.ok(largestDifference(whole, chunked) < 2e-4);
  });

  it('gives bit for bit the same logits in a batch as alone', async () => {
    const alone: Float32Array[][] = [];
    for (const ids of prompts) {
      const sequence = runner.createSequence();
      await runner.forward([{ sequence, tokens: ids.subarray(0, -12), logits: 'none' }]);
      const rows: Float32Array[] = [];
      for (const token of ids.subarray(-12)) {
        const [output] = await runner.forward([{ sequence, tokens: Int32Array.of(token) }]);
        assert.ok(output);
        rows.push(output.logits);
      }
      alone.push(rows);
      runner.releaseSequence(sequence);
    }
    // The last sequence joins late and the first leaves early, so that slots move.
    const sequences = prompts.map(() => runner.createSequence());
    for (const [index, sequence] of sequences.entries()) {
      await runner.forward([{ sequence, tokens: (prompts[index] as Int32Array).subarray(0, -12), logits: 'none' }]);
    }
    for (let round = 0; round < 18; round++) {
      const members = sequences
        .map((_, index) => index)
        .filter((index) => offsetOf(index, round) >= 0 && offsetOf(index, round) < 12);
      if (round % 2 === 1) {
        members.reverse();
      }
      const outputs = await runner.forward(
        members.map((index) => ({
          sequence: sequences[index] as number,
          tokens: (prompts[index] as Int32Array)
            .subarray(-12)
            .subarray(offsetOf(index, round), offsetOf(index, round) + 1),
        })),
      );
      members.forEach((index, row) => {
        assert.deepEqual(
          outputs[row]?.logits,
          alone[index]?.[offsetOf(index, round)],
          `sequence ${index}, round ${round}`,
        );
      });
    }
    sequences.forEach((sequence) => runner.releaseSequence(sequence));
  });

  it('runs prefill and decode in one batch and reports routing in the order of the batch', async () => {
    const [first, second] = [runner.createSequence(), runner.createSequence()];
    const [a, b] = [prompts[0] as Int32Array, prompts[3] as Int32Array];
    await runner.forward([{ sequence: second, tokens: b.subarray(0, -1), logits: 'none' }]);
    const together: LayerRouting[] = [];
    runner.onRouting = (routing) => together.push(routing);
    const outputs = await runner.forward([
      { sequence: first, tokens: a, logits: 'none' },
      { sequence: second, tokens: b.subarray(-1) },
    ]);
    runner.onRouting = null;
    assert.deepEqual(
      outputs.map(({ logits }) => logits.length),
      [0, runner.vocabularySize],
    );
    const expectedFirst = reference[0]?.routers[2]?.experts.flat();
    const expectedSecond = reference[3]?.routers[2]?.experts.at(-1);
    assert.deepEqual(Array.from(together[2]?.ids ?? []), [...(expectedFirst ?? []), ...(expectedSecond ?? [])]);
    runner.releaseSequence(first);
    runner.releaseSequence(second);
  });

  it('forks a sequence inside the window and at its end', async () => {
    const source = runner.createSequence();
    await runner.forward([{ sequence: source, tokens: longest.subarray(0, 200), logits: 'none' }]);
    for (const length of [200, 180, 150]) {
      const fork = runner.forkSequence(source, length);
      assert.ok(fork !== null);
      assert.equal(runner.length(fork), length);
      const [continued] = await runner.forward([{ sequence: fork, tokens: longest.subarray(length, 250) }]);
      const fresh = runner.createSequence();
      const [expected] = await runner.forward([{ sequence: fresh, tokens: longest.subarray(0, 250) }]);
      assert.ok(continued && expected);
      assert.ok(largestDifference(continued.logits, expected.logits) < 2e-4, `fork at ${length}`);
      runner.releaseSequence(fork);
      runner.releaseSequence(fresh);
    }
    runner.releaseSequence(source);
  });

  it('refuses to fork where the window has moved on', async () => {
    const source = runner.createSequence();
    await runner.forward([{ sequence: source, tokens: longest, logits: 'none' }]);
    assert.equal(runner.forkSequence(source, 140), null);
    assert.equal(runner.truncate(source, 140), false);
    assert.equal(runner.length(source), longest.length);
    assert.throws(() => runner.forkSequence(source, longest.length + 1), InvalidStepError);
    const empty = runner.forkSequence(source, 0);
    assert.ok(empty !== null);
    assert.equal(runner.length(empty), 0);
    runner.releaseSequence(source);
  });

  it('refuses wrong steps and leaves the sequence as it was', async () => {
    const sequence = runner.createSequence();
    const step = (tokens: Int32Array): Promise<unknown> => runner.forward([{ sequence, tokens }]);
    await assert.rejects(step(new Int32Array(0)), InvalidStepError);
    await assert.rejects(step(Int32Array.of(runner.vocabularySize)), InvalidStepError);
    await assert.rejects(step(Int32Array.of(-1)), InvalidStepError);
    await assert.rejects(step(new Int32Array(runner.contextLength + 1)), ContextLengthError);
    await assert.rejects(
      runner.forward([
        { sequence, tokens: Int32Array.of(1) },
        { sequence, tokens: Int32Array.of(2) },
      ]),
      InvalidStepError,
    );
    await assert.rejects(runner.forward([{ sequence: 9999, tokens: Int32Array.of(1) }]), UnknownSequenceError);
    assert.equal(runner.length(sequence), 0);
    const running = step(Int32Array.of(1));
    assert.throws(() => runner.releaseSequence(sequence), RunnerBusyError);
    await assert.rejects(step(Int32Array.of(1)), RunnerBusyError);
    await running;
    runner.releaseSequence(sequence);
    assert.throws(() => runner.length(sequence), UnknownSequenceError);
  });

  it('computes at int4 near the reference, in the memory that was planned, and refuses use after dispose', async () => {
    const small = await createOrtRunner({ snapshot, router: 'cpu', expertPrecision: 'int4' });
    for (const [{ memory }, expertPrecision] of [
      [small, 'int4'],
      [runner, 'exact'],
    ] as const) {
      assert.equal(memory.weightBytes, planOrtMemory(snapshot.config, { expertPrecision }).weightBytes);
    }
    for (const { ids, prompt_nll: expected } of reference) {
      const sequence = small.createSequence();
      const [output] = await small.forward([{ sequence, tokens: Int32Array.from(ids), logits: 'all' }]);
      assert.ok(output);
      const row = (position: number): Float32Array =>
        output.logits.subarray(position * small.vocabularySize, (position + 1) * small.vocabularySize);
      const nll = ids.slice(1).reduce((sum, id, position) => sum + surprise(row(position), id), 0);
      assert.ok(Math.abs(nll / expected - 1) < 0.05, `nll ${nll}, expected about ${expected}`);
      small.releaseSequence(sequence);
    }
    await small.dispose();
    await small.dispose();
    await assert.rejects(small.forward([{ sequence: 1, tokens: Int32Array.of(1) }]), DisposedError);
    assert.throws(() => small.createSequence(), DisposedError);
  });
});

/** Which of a sequence's last twelve tokens it takes in a round; outside 0 to 11 it takes none. */
function offsetOf(index: number, round: number): number {
  return index === prompts.length - 1 ? round - 5 : round;
}

function largestDifference(a: Float32Array, b: Float32Array): number {
  assert.equal(a.length, b.length);
  return a.reduce((largest, value, index) => Math.max(largest, Math.abs(value - (b[index] as number))), 0);
}
