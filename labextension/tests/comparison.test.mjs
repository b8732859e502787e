// Runs side by side: what was asked of them, what came of them, and which of them are a sweep.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import {
  commonTitle,
  comparedCurves,
  metricRows,
  runHeads,
  settingRows,
  toCsv
} from '../src/models/comparison.ts';
import { sweepOf } from '../src/models/runlist.ts';
import { sample } from './contract.mjs';

const round = (number, changes = {}) => ({
  round: number,
  training: true,
  metrics: { loss: 1 / number },
  trust_metrics: { a: { loss: 2 / number } },
  ...changes
});

test('runs are compared by notebook, strategy, environment and Trusts', () => {
  const record = {
    run: 'r',
    notebook: 'heart.ipynb',
    strategy: { name: 'FedProx', parameters: { proximal_mu: 0.1 } },
    environment: { name: 'flip-demo', lock: '0'.repeat(64) },
    cohort: 'c'.repeat(64),
    bundle: 'b'.repeat(64),
    members: { a: 'hungary' },
    estates: { a: '12345678' },
    point: { lr: 0.5 },
    state: 'succeeded',
    rounds: [round(1), round(2, { training: false })]
  };
  const rows = settingRows([record], () => 'Hungary');
  const values = Object.fromEntries(rows.map(row => [row.name, row.values[0]]));
  assert.equal(values.notebook, 'heart.ipynb');
  assert.equal(values.strategy, 'FedProx, proximal_mu 0.1');
  assert.equal(values.environment, 'flip-demo (00000000)');
  assert.equal(values.Trusts, 'Hungary');
  assert.equal(values.data, 'Hungary 123456');
  assert.deepEqual(comparedCurves([record], 'loss')[0].rounds, [1]);
});

test('runs are compared by titles of Trusts, and exported with quotes', () => {
  const record = { rounds: [round(1)], members: { a: 'hungary' } };
  const rows = metricRows([record], key => (key === 'a' ? 'Hungary' : key));
  assert.deepEqual(
    rows.map(row => row.name),
    ['loss', 'loss, Hungary']
  );
  assert.equal(
    toCsv(['', 'run'], [{ name: 'a "b"', values: [null] }]),
    '"","run"\n"a ""b""",""'
  );
});

const record = (run, choices = {}, changes = {}) =>
  sample('RunRecord', {
    run: run.repeat(32),
    title: 'Heart',
    point: { lr: 0.5 },
    telling: [],
    choices: {
      rounds: null,
      seed: null,
      fold: null,
      initial_weights: null,
      ...choices
    },
    ...changes
  });
const names = records => settingRows(records, key => key).map(row => row.name);

test('seeds, folds and rounds that runs chose are rows, those that none chose are not', () => {
  const seeds = [
    record('1'),
    record('2', { seed: 1 }),
    record('3', { seed: 2 })
  ];
  const rows = settingRows(seeds, key => key);
  const seed = rows.find(row => row.name === 'split seed');
  assert.deepEqual(seed.values, ["the plan's", 1, 2]);
  assert.deepEqual(
    ['fold', 'rounds asked', 'first weights'].filter(name =>
      names(seeds).includes(name)
    ),
    []
  );
  const others = names([
    record('1', { fold: 0, rounds: 5, initial_weights: 'ab'.repeat(32) })
  ]);
  assert.equal(others.includes('split seed'), false);
  for (const name of ['fold', 'rounds asked', 'first weights']) {
    assert.equal(others.filter(other => other === name).length, 1);
  }
  assert.equal(new Set(others).size, others.length);
});

test('a title that all runs have is said once, not in each head', () => {
  const same = [record('1', { seed: 0 }), record('2', { seed: 1 })];
  assert.equal(commonTitle(same), 'Heart');
  assert.deepEqual(runHeads(same), [
    'A lr 0.5, split seed 0',
    'B lr 0.5, split seed 1'
  ]);
  const two = [record('1'), record('2', {}, { title: 'Lung' })];
  assert.equal(commonTitle(two), null);
  assert.deepEqual(runHeads(two), ['A Heart · lr 0.5', 'B Lung · lr 0.5']);
  const bare = [record('1', {}, { point: {} }), record('2', {}, { point: {} })];
  assert.deepEqual(runHeads(bare), ['A 11111111', 'B 22222222']);
});

const view = (run, bundle, changes = {}) =>
  sample('RunView', {
    run: run.repeat(32),
    bundle: bundle.repeat(64),
    submitted: `2026-12-01T00:00:0${run}Z`,
    rounds_done: 3,
    state: 'succeeded',
    ...changes
  });

test('a sweep is the runs of one bundle that have numbers, the first sent first, and never without the run itself', () => {
  const runs = [
    view('4', 'a'),
    view('1', 'a'),
    view('2', 'b'),
    view('3', 'a', { rounds_done: 0, state: 'stopped' }),
    view('5', 'a', { rounds_done: 0 }),
    view('6', 'a', { state: 'running' })
  ];
  const ids = (run, most = 12) =>
    sweepOf(runs, run, most).map(one => one.run[0]);
  assert.deepEqual(ids(runs[0]), ['1', '4', '5', '6']);
  assert.deepEqual(ids(runs[5], 2), ['1', '6']);
  assert.deepEqual(ids(runs[3]), ['1', '3', '4', '5', '6']);
  assert.deepEqual(ids(runs[2]), []);
});
