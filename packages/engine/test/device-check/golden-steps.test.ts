import assert from 'node:assert/strict';
import { openSnapshot } from '@switchyard/models';
import type { Snapshot } from '@switchyard/models';
import { runCases } from '../../src/device-check/check-result.ts';
import { runGoldenSteps } from '../../src/device-check/golden-steps.ts';
import { cutModel, runShapeSteps, shapeReference } from '../../src/device-check/shape-steps.ts';
import { DeviceHungError } from '../../src/runners/hip/errors.ts';
import type { LogitsOutput, LogitsRunner } from '../../src/runners/logits-runner.ts';
import type { LayerRouting } from '../../src/runners/runner.ts';
import { createOrtRunner } from '../../src/runners/ort/index.ts';
import { goldenPrompts } from '../golden/golden-prompts.ts';
import { ortRunner } from '../runners/suite-of-embedded-model.ts';

describe('the steps that check a device', function () {
  this.timeout(60_000);
  let snapshot: Snapshot;
  before(async () => {
    snapshot = await openSnapshot();
  });
  after(() => snapshot.dispose());

  /** Two short prompts with the beginnings of their answers: the rest is for devices. */
  const golden = goldenPrompts.slice(1, 3).map((prompt) => ({ ...prompt, greedy: prompt.greedy.slice(0, 4) }));
  const options = {
    golden,
    window: 128,
    roundedFrom: 32,
    activations: 'exact' as const,
    // However busy the machine is: every case is run.
    budgetMs: Number.POSITIVE_INFINITY,
  };

  /** A runner of logits whose answers are changed on their way. */
  function changing(runner: LogitsRunner, change: (output: LogitsOutput) => void): LogitsRunner {
    return new Proxy(runner, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name, target);
        if (name === 'forward') {
          return async (...args: Parameters<LogitsRunner['forward']>) => {
            const outputs = await target.forward(...args);
            for (const output of outputs) change(output);
            return outputs;
          };
        }
        return typeof value === 'function' ? value.bind(target) : value;
      },
      set: (target, name, value) => Reflect.set(target, name, value, target),
    });
  }

  it('pass where the answers are right', async () => {
    await using runner = await ortRunner(snapshot);
    const { cases, failure } = await runGoldenSteps(runner, options);
    assert.equal(failure, null);
    assert.ok(cases >= 1);
  });

  it('fail where logits are off, with what was found', async () => {
    await using runner = await ortRunner(snapshot, (own) =>
      changing(own, ({ logits }) => logits.forEach((logit, index) => (logits[index] = logit * 1.01))),
    );
    const { failure } = await runGoldenSteps(runner, options);
    assert.equal(failure?.kind, 'wrong');
    assert.match(failure?.found ?? '', /all prompts whole.*likelihood/);
  });

  describe('where an expert is another one', () => {
    const LAYER = 3;
    /** A runner that tells of another expert, which no other choice of the token has, at the last choice of token 5 of a layer. */
    async function telling(byWeight: number) {
      return ortRunner(snapshot, (own) => {
        const changed = changing(own, () => undefined);
        return new Proxy(changed, {
          set: (target, name, value) => {
            if (name !== 'onRouting' || typeof value !== 'function') return Reflect.set(target, name, value, target);
            return Reflect.set(
              target,
              name,
              (routing: LayerRouting, ...others: unknown[]) => {
                const slot = 6 * snapshot.config.expertsPerToken - 1;
                if (routing.layer === LAYER && routing.ids.length > slot) {
                  const own = routing.ids.subarray(slot - snapshot.config.expertsPerToken + 1, slot + 1);
                  routing.ids[slot] = [...Array(snapshot.config.experts).keys()].find((id) => !own.includes(id)) ?? -1;
                  routing.weights[slot] = (routing.weights[slot] ?? 0) + byWeight;
                }
                value(routing, ...others);
              },
              target,
            );
          },
        });
      });
    }
    const failureOf = async (byWeight: number, activations: 'exact' | 'bf16'): Promise<string | null> => {
      await using runner = await telling(byWeight);
      const { failure } = await runGoldenSteps(runner, { ...options, activations });
      return failure?.found ?? null;
    };

    it('fail with exact activations, and with others unless both weigh the same', async () => {
      assert.match((await failureOf(0, 'exact')) ?? '', /expert \d+ where \d+ is right, layer 3, token 5, choice 3/);
      assert.equal(await failureOf(5e-5, 'bf16'), null);
      assert.match(
        (await failureOf(2e-4, 'bf16')) ?? '',
        /the router weight differs by .*, layer 3, token 5, choice 3/,
      );
    });
  });

  it('begin no case once their time is up, and tell a device that hangs from one that is wrong', async () => {
    const slow = { name: 'slow', run: () => new Promise<void>((resolve) => void setTimeout(resolve, 30)) };
    assert.equal((await runCases([slow, slow, slow], { budgetMs: 1 })).cases, 1);
    const hung = new DeviceHungError('A GPU', 5000);
    const run = async (): Promise<never> => {
      throw new Error('A forward step failed', { cause: hung });
    };
    assert.equal((await runCases([{ name: 'a', run }])).failure?.kind, 'hung');
  });

  describe('of a shape', () => {
    /** ONNX Runtime's runner of the first layer, which also tells the likeliest token, as runners on devices do. */
    async function oneLayer(change: (output: LogitsOutput) => void = () => {}) {
      const cut = cutModel(snapshot);
      const config = { ...cut.config, layers: 1, layerTypes: cut.config.layerTypes.slice(0, 1) };
      const runner = changing(await createOrtRunner({ snapshot: { ...cut, config }, router: 'cpu' }), change);
      const choosing = new Proxy(runner, {
        get: (target, name) => {
          const value: unknown = Reflect.get(target, name, target);
          if (name !== 'forward') return value;
          return async (batch: Parameters<LogitsRunner['forward']>[0]) => {
            const outputs = await target.forward(
              batch.map((step) => (step.logits === 'largest' ? { ...step, logits: 'last' as const } : step)),
            );
            return outputs.map((output, index) => {
              if (batch[index]?.logits !== 'largest') return output;
              const { logits } = output;
              return { logits: logits.subarray(0, 0), token: logits.indexOf(Math.max(...logits)) };
            });
          };
        },
      });
      return { runner: choosing, reference: shapeReference({ ...cut, config }) };
    }

    it('pass where the first layer is right', async () => {
      const { runner, reference } = await oneLayer();
      await using _ = runner;
      assert.deepEqual((await runShapeSteps(runner, reference)).failure, null);
    });

    it('fail where it is not', async () => {
      const { runner, reference } = await oneLayer(({ logits }) => void logits.fill(1));
      await using _ = runner;
      const { failure, cases } = await runShapeSteps(runner, reference);
      assert.equal(cases, 1);
      assert.match(failure?.found ?? '', /two tokens at once: the logits of token 0 differ by/);
    });
  });
});
