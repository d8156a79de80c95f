/** The page: reads the form, routes, and shows what came out. */

import { BackendUnavailableError, RouterError } from '@switchyard/router-kernel/webgpu';
import type { ExchangePath, LogitsDtype } from '@switchyard/router-kernel/webgpu';
import { drawHeatMap, summarizeLoad } from './heat-map.ts';
import { drawLatencies } from './latency-plot.ts';
import { routeAndCheck } from './routing-run.ts';
import type { RunShape } from './routing-run.ts';

type State = 'running' | 'passed' | 'failed' | 'unavailable';

const HEADINGS: Readonly<Record<State, string>> = {
  running: 'Running',
  passed: 'Passed',
  failed: 'Failed',
  unavailable: 'WebGPU is missing',
};

const form = element('shape', HTMLFormElement);
const status = element('status', HTMLElement);
const results = element('results', HTMLElement);
const button = form.querySelector('button');
const heading = document.createElement('strong');

form.addEventListener('submit', (event) => {
  event.preventDefault();
  void run();
});
void run();

async function run(): Promise<void> {
  if (button !== null) button.disabled = true;
  show('running', 'Routing, checking and timing …');
  try {
    const outcome = await routeAndCheck(readShape());
    const { mismatchedIds, mismatchedWeights, worstWeightError, problems } = outcome.comparison;
    const passed = problems.length === 0;
    show(
      passed ? 'passed' : 'failed',
      `${outcome.shape.tokens} tokens checked against the reference: ${mismatchedIds} ids and ${mismatchedWeights} weights differ; the largest weight error is ${(100 * worstWeightError).toFixed(1)} % of what is allowed. Routed on ${outcome.device} by ${outcome.path === 'subgroups' ? 'subgroup operations' : 'workgroup memory'}. ${problems.join(' ')}`,
    );
    results.hidden = false;
    drawHeatMap(element('heat-map', HTMLCanvasElement), outcome.tokensPerExpert);
    element('load-summary', HTMLElement).textContent = summarizeLoad(outcome.tokensPerExpert);
    drawLatencies(element('latency', HTMLCanvasElement), outcome.latencies);
  } catch (error) {
    results.hidden = true;
    if (error instanceof BackendUnavailableError) show('unavailable', error.message);
    else show('failed', error instanceof RouterError ? error.message : String(error));
  } finally {
    if (button !== null) button.disabled = false;
  }
}

function readShape(): RunShape {
  const data = new FormData(form);
  const number = (name: string): number => Number(data.get(name));
  return {
    experts: number('experts'),
    topK: number('topK'),
    tokens: number('tokens'),
    // The form offers these values alone.
    logitsDtype: data.get('logitsDtype') as LogitsDtype,
    path: data.get('path') as ExchangePath | 'auto',
  };
}

function show(state: State, text: string): void {
  status.dataset['state'] = state;
  status.textContent = text;
  heading.textContent = HEADINGS[state];
  status.prepend(heading);
}

function element<Kind extends Element>(id: string, kind: new () => Kind): Kind {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`The page has no ${kind.name} with the id ${id}.`);
  return found;
}
