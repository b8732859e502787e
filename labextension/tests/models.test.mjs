// Models that know neither DOM nor server: what they make of numbers, states and typed text.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { nullTranslator } from '@jupyterlab/translation';

import {
  agreementCurves,
  holdOuts,
  voteCurve,
  byName,
  curvesOf,
  finalOf,
  secondsLeft,
  sharesOf
} from '../src/models/curves.ts';
import { sectionHeights } from '../src/models/heights.ts';
import {
  ranSeconds,
  runName,
  tabName,
  waitedSeconds
} from '../src/models/naming.ts';
import {
  digestText,
  happenings,
  happeningText,
  Minute
} from '../src/models/notices.ts';
import { needsHub } from '../src/models/offline.ts';
import { grid, readValues } from '../src/models/parameters.ts';
import { findRuns, keptLook, sortRuns } from '../src/models/runlist.ts';
import { cellOf, memoryText, progressText } from '../src/models/sentences.ts';
import {
  duration,
  failureText,
  memory,
  metric,
  runDetail
} from '../src/models/wording.ts';

const trans = nullTranslator.load('flipnb');

const whole = { name: 'k', type: 'int', minimum: 1, maximum: 9, choices: [] };

test('several values with commas are a sweep, each within its bounds', () => {
  assert.deepEqual(readValues(trans, whole, '1, 5,9').values, [1, 5, 9]);
  assert.equal(readValues(trans, whole, '1.5').problem, '"1.5" is no int');
  assert.equal(readValues(trans, whole, '10').problem, '10 is outside 1 to 9');
  const fixed = { ...whole, minimum: null, maximum: null };
  assert.deepEqual(readValues(trans, fixed, '3').values, [3]);
  assert.match(readValues(trans, fixed, '3, 4').problem, /one value/);
});

test('a text without choices may hold commas', () => {
  const text = { ...whole, type: 'str', minimum: null, maximum: null };
  assert.deepEqual(readValues(trans, text, 'a, b').values, ['a, b']);
});

test('a sweep is every combination, the last parameter fastest', () => {
  assert.deepEqual(grid({ a: [1, 2], b: ['x', 'y'] }), [
    { a: 1, b: 'x' },
    { a: 1, b: 'y' },
    { a: 2, b: 'x' },
    { a: 2, b: 'y' }
  ]);
});

test('a run has one name, the same as in Python', () => {
  const cases = JSON.parse(
    readFileSync(new URL('naming.json', import.meta.url), 'utf8')
  );
  assert.ok(cases.length >= 5);
  for (const { name, ...run } of cases) {
    assert.equal(runName(run), name);
  }
});

test('waiting and running are apart', () => {
  const at = seconds => new Date(1e12 + 1000 * seconds).toISOString();
  const run = { submitted: at(0), started: null, finished: null };
  assert.equal(waitedSeconds(run, 1e12 + 60_000), 60);
  assert.equal(ranSeconds(run), null);
  const started = { ...run, started: at(90), finished: at(100) };
  assert.deepEqual([waitedSeconds(started), ranSeconds(started)], [90, 10]);
  assert.equal(waitedSeconds({ ...run, finished: at(5) }), 5);
});

test('runs are found by title, value and notebook, and sorted with what has no value last', () => {
  const run = (id, changes) => ({
    run: id,
    title: 'Heart',
    notebook: 'heart.ipynb',
    point: { lr: 0.5 },
    state: 'succeeded',
    submitted: new Date(1e12).toISOString(),
    started: null,
    finished: null,
    rounds_done: 0,
    ...changes
  });
  const runs = [
    run('a', { notebook: '', state: 'running' }),
    run('b', { point: { lr: 0.1 } }),
    run('c', { notebook: 'age.ipynb' })
  ];
  const ids = found => found.map(({ run }) => run).join('');
  assert.equal(ids(findRuns(runs, { filter: 'HEART lr 0.1', state: '' })), 'b');
  assert.equal(ids(findRuns(runs, { filter: 'age', state: '' })), 'c');
  assert.equal(ids(findRuns(runs, { filter: '', state: 'running' })), 'a');
  const by = (column, falling) => ids(sortRuns(runs, { column, falling }));
  assert.equal(by(null, false), 'abc');
  assert.equal(by('notebook', false), 'cba');
  assert.equal(by('notebook', true), 'bca', 'what has none is last either way');
  const look = { filter: 'x', state: '', column: 'ran', falling: true };
  assert.deepEqual(keptLook(JSON.parse(JSON.stringify(look))), look);
  assert.deepEqual(
    keptLook({ column: 'gone', filter: 3 }),
    keptLook(undefined)
  );
});

test('what happened is told once, shortly, and without a number of people', () => {
  const part = (trust, state) => ({ trust, state, failure: null });
  const run = (state, changes) => ({
    run: 'r',
    title: 'Heart',
    point: { lr: 0.5 },
    state,
    code: null,
    reason: '7 people are too few',
    trusts: [part('a', 'waiting')],
    ...changes
  });
  const titleOf = key => `Trust ${key}`;
  const said = (before, after) =>
    happenings(before, after).map(item => happeningText(trans, item, titleOf));
  assert.deepEqual(said(undefined, run('failed')), []);
  assert.deepEqual(said(run('waiting'), run('running')), []);
  assert.deepEqual(said(run('running'), run('failed')), [
    'Heart · lr 0.5 failed.'
  ]);
  assert.deepEqual(said(run('running'), run('succeeded', { code: 'agreed' })), [
    'Heart · lr 0.5 agreed.'
  ]);
  const declined = run('waiting', { trusts: [part('a', 'declined')] });
  assert.deepEqual(said(run('waiting'), declined), [
    'Heart · lr 0.5: Trust a does not take part.'
  ]);
  const long = run('failed', { title: 'x'.repeat(400) });
  assert.equal(said(run('running'), long)[0].length, 140);

  const minute = new Minute();
  const ended = state => ({ run: run(state, { run: state }), kind: 'ended' });
  minute.add(ended('stopped'), 0);
  minute.add(ended('failed'), 30_000);
  const recent = minute.add(ended('succeeded'), 70_000);
  assert.equal(digestText(trans, recent), 'Runs: 1 succeeded, 1 failed.');
});

test('what needs the hub says since when it is away', () => {
  assert.equal(needsHub({ away: null }, trans), '');
  const away = new Date().toISOString();
  assert.match(needsHub({ away }, trans), /^Needs the hub, away since .*\.$/);
});

test('who a run waits for is named where it is one', () => {
  const part = (trust, state) => ({ trust, name: trust, state });
  const run = {
    state: 'waiting',
    trusts: [part('long-beach', 'approved'), part('hungary', 'waiting')]
  };
  const titleOf = key => ({ hungary: 'Hungary' })[key];
  assert.equal(runDetail(trans, run, titleOf), 'awaits Hungary');
  run.trusts[0].state = 'notified';
  assert.equal(runDetail(trans, run, titleOf), 'awaits 2 of 2 Trusts');
});

test('a failure says class, place and what was refused', () => {
  const failure = {
    error_class: 'FlipError',
    cell: 6,
    line: 4,
    round: 7,
    refusal: 'not-finite'
  };
  assert.equal(
    failureText(trans, failure),
    'FlipError, round 7, cell 6, line 4: its update holds NaN or infinity'
  );
  assert.equal(
    failureText(trans, { ...failure, round: null, refusal: 'of-tomorrow' }),
    'FlipError, cell 6, line 4'
  );
});

test('after the last round a Trust has the final weights', () => {
  const progress = { cell: 4, cells: 9, round: 13, eighths: null };
  assert.equal(progressText(trans, progress, 12), 'cell 4 of 9, final weights');
  assert.equal(progressText(trans, progress, 20), 'cell 4 of 9, round 13');
  assert.equal(
    progressText(trans, { ...progress, eighths: 3 }, 20),
    'cell 4 of 9, round 13, 3/8 of its epochs'
  );
});

test('memory is told with that of a GPU where there is any', () => {
  const GB = 2 ** 30;
  const inside = {
    memory_bytes: null,
    memory_of_bytes: null,
    gpu_bytes: null,
    gpu_of_bytes: null
  };
  const told = {
    ...inside,
    memory_bytes: 1.5 * GB,
    memory_of_bytes: 4 * GB
  };
  const gpu = { gpu_bytes: 10 * GB, gpu_of_bytes: 80 * GB };
  assert.equal(memoryText(trans, null), null);
  assert.equal(memoryText(trans, inside), null);
  assert.equal(memoryText(trans, told), '1.5 GB of 4 GB');
  assert.equal(
    memoryText(trans, { ...told, ...gpu }),
    '1.5 GB of 4 GB, GPU 10 GB of 80 GB'
  );
});

test('a part is in the cell of its failure, else of its progress', () => {
  const progress = { cell: 4 };
  assert.equal(cellOf({ failure: null, progress }), 4);
  assert.equal(cellOf({ failure: { cell: 2 }, progress }), 2);
  assert.equal(cellOf({ failure: null, progress: null }), null);
});

test('numbers have the figures that they are good for', () => {
  assert.deepEqual([0.79, 1, 123.456, 0.00001].map(metric), [
    '0.790',
    '1.00',
    '123',
    '1.00e-5'
  ]);
  assert.deepEqual(
    [8, 240, 3900].map(seconds => duration(trans, seconds)),
    ['8 s', '4 min', '1 h 05 min']
  );
  assert.deepEqual(
    [256 * 2 ** 20, 1.5 * 2 ** 30].map(bytes => memory(trans, bytes)),
    ['256 MB', '1.5 GB']
  );
});

test('curves come by the names of their Trusts, the average first', () => {
  const names = { a: 'Hungary', b: 'Cleveland' };
  const curves = [null, 'a', 'b'].map(trust => ({
    trust,
    rounds: [],
    values: []
  }));
  assert.deepEqual(
    byName(curves, trust => names[trust]).map(curve => curve.trust),
    [null, 'b', 'a']
  );
});

const round = (number, changes = {}) => ({
  round: number,
  training: true,
  metrics: { loss: 1 / number },
  trust_metrics: { a: { loss: 2 / number } },
  shares: { a: '25-to-50', b: 'over-50' },
  votes: null,
  voters: null,
  agreements: {},
  seconds: number,
  ...changes
});

test('a Trust has the share of the last round that it was in', () => {
  const rounds = [round(1), round(2, { shares: { a: 'over-50' } })];
  assert.deepEqual(
    [...sharesOf(rounds)],
    [
      ['a', 'over-50'],
      ['b', 'over-50']
    ]
  );
  assert.equal(sharesOf([round(1, { shares: {} })]).size, 0);
});

test('the average comes first, then each Trust that lets its own numbers out', () => {
  const rounds = [round(1), round(2, { trust_metrics: {} })];
  assert.deepEqual(curvesOf(rounds, 'loss'), [
    { trust: null, rounds: [1, 2], values: [1, 0.5] },
    { trust: 'a', rounds: [1], values: [2] }
  ]);
  const final = round(3, { training: false });
  assert.deepEqual(
    curvesOf([...rounds, final], 'loss'),
    curvesOf(rounds, 'loss'),
    'the final model is a point of no curve'
  );
  assert.equal(finalOf([...rounds, final]), final);
  assert.equal(finalOf(rounds), null);
});

test('votes are counted, and who votes 0 is told as far as figures are let out', () => {
  assert.deepEqual(voteCurve([round(1)]).rounds, []);
  assert.equal(holdOuts(round(1), 0.9), null);
  const voted = round(2, {
    votes: 1,
    voters: 4,
    agreements: { a: 0.941, b: 0.8, c: 0.95 }
  });
  assert.deepEqual(voteCurve([round(1), voted]).values, [1]);
  assert.deepEqual(agreementCurves([voted])[0], {
    trust: 'a',
    rounds: [2],
    values: [0.941]
  });
  assert.deepEqual(holdOuts(voted, 0.95), {
    told: [
      { trust: 'b', value: 0.8 },
      { trust: 'a', value: 0.941 }
    ],
    kept: 1
  });
  assert.deepEqual(holdOuts({ ...voted, votes: 4, agreements: {} }, 0.95), {
    told: [],
    kept: 0
  });
});

test('no time is guessed before the third round', () => {
  assert.equal(secondsLeft([round(1), round(2)], 10), null);
  assert.equal(secondsLeft([round(1), round(2), round(3)], 10), 14);
});

test('a tab keeps what tells a run from others', () => {
  const run = {
    title: 'Coronary artery disease by logistic regression',
    point: { lr: 0.5 },
    telling: ['lr']
  };
  assert.equal(tabName(run), 'Coronary artery dise… · lr 0.5');
  assert.equal(tabName({ title: 'Heart', point: { lr: 1 } }), 'Heart · lr 1');
});

test('sections are as tall as their rows, and share only what does not fit', () => {
  assert.deepEqual(sectionHeights([100, 30, 70], 400), [100, 30, 270]);
  assert.deepEqual(sectionHeights([300, 30, 300], 330), [150, 30, 150]);
  assert.deepEqual(sectionHeights([300, 90, 120], 330), [120, 90, 120]);
  assert.deepEqual(sectionHeights([900, 900, 900], 300), [100, 100, 100]);
});
