// From a notebook to the Trusts: the form is kept, what is sent is what is shown, and why not is said.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, mock, test } from 'node:test';

import { StateDB } from '@jupyterlab/statedb';
import { nullTranslator } from '@jupyterlab/translation';
import fc from 'fast-check';

import { SendModel } from '../src/models/send.ts';
import { Workbench } from '../src/models/workbench.ts';
import { sample } from './contract.mjs';
import { firings, Jupyter, settled } from './jupyter.mjs';

const trans = nullTranslator.load('flipnb');
const PATH = 'study/train.ipynb';
const KEY = `flipnb:draft:${PATH}`;
const CHECK = 'POST notebooks/checks';
const PREPARE = 'POST bundles';
const SHAPES = 'POST bundles/{bundle}/shapes';
const SEND = 'POST bundles/{bundle}/sending';
const PAUSE = 500;
const BUNDLE = 'b'.repeat(64);
const preview = (bundle = BUNDLE) => sample('BundlePreview', { bundle });
const KNOWN = sample('ShapeCheck', { checked: 2, of: 2, problem: null });
const trust = name => sample('StudyTrust', { name, key: name.repeat(64) });
const issue = (severity, of = null, message = 'm') =>
  sample('CheckIssue', { severity, message, trust: of && of.repeat(64) });
const whole = sample('Parameter', {
  name: 'k',
  type: 'int',
  default: 3,
  minimum: 1,
  maximum: 999
});
const report = (given = {}) =>
  sample('CheckReport', {
    rehearsed: true,
    parameters: [whole],
    plan: sample('SendPlan', {
      title: 'From the plan',
      plan: sample('Plan-Output', { rounds: 5 }),
      seed: 7,
      trusts: [],
      minimum_trusts: 2
    }),
    ...given
  });
const online = state => ({
  contact: sample('HubContact', { state, connection: 1 })
});

let jupyter;
let workbench;
let state;
let saves;

describe('the way of a notebook to the Trusts', () => {
  beforeEach(async () => {
    mock.timers.enable({ apis: ['setTimeout'] });
    state = new StateDB();
    saves = 0;
    jupyter = new Jupyter();
    jupyter.always('GET status', sample('LabStatus', online('online')));
    jupyter.always('GET studies', {
      studies: [sample('Study', { study: 's', kept: true })]
    });
    jupyter.always('GET studies/{study}/trusts', {
      trusts: ['a', 'b', 'c'].map(trust)
    });
    jupyter.always('GET studies/{study}/runs', { runs: [], next: null });
    jupyter.always('GET cohorts', { cohorts: [] });
    jupyter.always('GET strategies', {
      strategies: [sample('KnownStrategy', { name: 'FedAvg' })]
    });
    workbench = new Workbench(jupyter.api);
    await workbench.begin(null);
    jupyter.asked.length = 0;
  });

  afterEach(() => mock.timers.reset());

  const opened = (save = async () => void saves++) =>
    new SendModel(PATH, workbench, save, trans, state);

  async function checked(given) {
    const model = opened();
    void model.check();
    await settled();
    await jupyter.answer(CHECK, report(given));
    return model;
  }

  async function prepared(given) {
    const model = await checked(given);
    await pause();
    await jupyter.answer(PREPARE, preview());
    await jupyter.answer(SHAPES, KNOWN);
    return model;
  }

  async function pause() {
    mock.timers.tick(PAUSE);
    await settled();
  }

  const bodies = operation =>
    jupyter.asked
      .filter(each => each.operation === operation)
      .map(each => each.body);

  test('the notebook is saved before it is looked over, and the plan fills the form', async () => {
    const model = await checked();
    assert.equal(saves, 1);
    const { title, plan, seeds, minimumTrusts, values, without } = model.draft;
    assert.equal(title, 'From the plan');
    assert.equal(plan.rounds, 5);
    assert.deepEqual([seeds, minimumTrusts], ['7', 2]);
    assert.deepEqual(values, { k: '3' });
    assert.deepEqual(without, []);
    assert.notEqual(model.checked, null);
    assert.deepEqual(
      model.strategies.map(({ name }) => name),
      ['FedAvg']
    );
    assert.deepEqual(model.reading('no parameter').values, []);
    assert.equal(model.obstacle, '');
  });

  test('a notebook that can not be saved is not looked over', async () => {
    const model = opened(() => Promise.reject(new Error('The disk is full.')));
    await model.check();
    assert.equal(model.problem, 'The disk is full.');
    assert.equal(model.activity, null);
    assert.equal(jupyter.times(CHECK), 0);
  });

  test('Trusts that the plan does not name are left out', async () => {
    const plan = { ...report().plan, trusts: ['b'] };
    const model = await checked({ plan });
    assert.deepEqual(model.draft.without, ['a', 'c']);
    assert.deepEqual(
      model.chosen.map(({ name }) => name),
      ['b']
    );
    assert.equal(model.minimumTrusts, 1);
  });

  test('a plan that names no least number of Trusts needs all that are chosen', async () => {
    const plan = { ...report().plan, minimum_trusts: null };
    const model = await checked({ plan });
    assert.equal(model.minimumTrusts, 3);
    model.toggleTrust(workbench.trusts[0]);
    assert.equal(model.minimumTrusts, 2);
    model.change({ minimumTrusts: 1 });
    assert.equal(model.minimumTrusts, 1);
  });

  test('the bundle is made of what the form says', async () => {
    const model = await checked();
    model.change({ title: '<b>"%1"</b>' });
    model.changeValue('k', '4, 5');
    model.toggleTrust(workbench.trusts[1]);
    await pause();
    assert.deepEqual(bodies(PREPARE), [
      {
        path: PATH,
        study: 's',
        title: '<b>"%1"</b>',
        plan: model.draft.plan,
        seeds: [7],
        trusts: ['a', 'c'],
        minimum_trusts: 2,
        points: [{ k: 4 }, { k: 5 }]
      }
    ]);
    assert.equal(model.preview, null);
    await jupyter.answer(PREPARE, preview());
    assert.equal(model.preview.bundle, BUNDLE);
  });

  test('a Trust that is left out can be taken in again', async () => {
    const model = await checked();
    model.toggleTrust(workbench.trusts[0]);
    model.toggleTrust(workbench.trusts[1]);
    model.toggleTrust(workbench.trusts[0]);
    assert.deepEqual(model.draft.without, ['b']);
  });

  test('screens hear of each change and of the beginning and end of each act; one bundle is made of many changes', async () => {
    const model = await prepared();
    const told = firings(model.changed);
    model.change({ seeds: '1' });
    model.change({ seeds: '2' });
    assert.equal(told.times, 2);
    mock.timers.tick(PAUSE - 1);
    model.change({ seeds: '3' });
    await pause();
    assert.equal(told.times, 4);
    await jupyter.answer(PREPARE, preview());
    assert.equal(
      told.times,
      6,
      'its end, and the beginning of the look at its models'
    );
    assert.deepEqual(
      bodies(PREPARE).map(({ seeds }) => seeds),
      [[7], [3]]
    );
  });

  test('what went wrong is told until something is tried again, and is not tried again by itself', async () => {
    const model = opened();
    void model.check();
    await settled();
    await jupyter.lose(CHECK);
    assert.notEqual(model.problem, '');
    await workbench.refresh();
    await settled();
    assert.equal(jupyter.times(CHECK), 1);
    void model.check();
    assert.equal(model.problem, '');
    await settled();
    await jupyter.answer(CHECK, report());
    assert.equal(model.problem, '');
  });

  test('a bundle of what the form said before is not shown', async () => {
    const model = await checked();
    await pause();
    model.change({ seeds: '8' });
    await jupyter.answer(PREPARE, preview('e'.repeat(64)));
    assert.equal(model.preview, null);
    await pause();
    await jupyter.answer(PREPARE, preview());
    assert.equal(model.preview.bundle, BUNDLE);
  });

  test('every change takes back the bundle that was shown', async () => {
    const model = await prepared();
    assert.equal(model.preview.bundle, BUNDLE);
    model.toggleTrust(workbench.trusts[0]);
    assert.equal(model.preview, null);
    assert.equal(await model.send(), null);
    assert.equal(jupyter.times(SEND), 0);
  });

  test('another plan is looked over again, whatever else is changed right after', async () => {
    const model = await checked();
    model.changePlan({ rounds: 9 });
    mock.timers.tick(PAUSE - 1);
    model.changeValue('k', '4');
    await pause();
    assert.equal(jupyter.times(CHECK), 2);
    assert.equal(bodies(CHECK)[1].plan.rounds, 9);
    await jupyter.answer(CHECK, report());
    await pause();
    assert.equal(jupyter.times(CHECK), 2);
    assert.equal(jupyter.times(PREPARE), 1);
  });

  test('a plan that was changed during a check is looked over as well', async () => {
    const model = await checked();
    void model.check();
    await settled();
    model.changePlan({ rounds: 9 });
    await jupyter.answer(CHECK, report());
    await pause();
    assert.equal(bodies(CHECK).at(-1).plan.rounds, 9);
  });

  test('of two checks the later one counts, whichever is answered last', async () => {
    const model = await checked();
    void model.check();
    await settled();
    void model.check();
    await settled();
    await jupyter.answer(CHECK, report({ issues: [issue('error')] }), 1);
    await jupyter.answer(CHECK, report(), 0);
    assert.equal(model.general.length, 1);
    assert.notEqual(model.obstacle, '');
  });

  test('it is busy until the last of what it does is done', async () => {
    const model = await checked();
    void model.check();
    await settled();
    void model.check();
    await settled();
    await jupyter.answer(CHECK, report());
    assert.equal(model.activity, 'checking');
    await jupyter.answer(CHECK, report());
    assert.equal(model.activity, null);
  });

  test('what was typed is kept, and is there again when the view is', async () => {
    const model = await checked();
    model.change({ title: 'Mine' });
    model.changeValue('k', '5, 6');
    model.toggleTrust(workbench.trusts[2]);
    await settled();
    model.dispose();
    const again = await checked({
      parameters: [
        whole,
        sample('Parameter', { name: 'new', type: 'str', default: 'x' })
      ]
    });
    assert.equal(again.draft.title, 'Mine');
    assert.deepEqual(again.draft.values, { k: '5, 6', new: 'x' });
    assert.deepEqual(again.draft.without, ['c']);
  });

  test('a value of a parameter that the notebook has no more goes', async () => {
    const model = await checked();
    model.changeValue('k', '5');
    void model.check();
    await settled();
    await jupyter.answer(CHECK, report({ parameters: [] }));
    assert.deepEqual(model.draft.values, {});
  });

  test('a second check leaves the form as it is', async () => {
    const model = await checked();
    model.change({ title: 'Mine', seeds: '1' });
    void model.check();
    await settled();
    await jupyter.answer(CHECK, report());
    assert.equal(model.draft.title, 'Mine');
    assert.equal(model.draft.seeds, '1');
    assert.equal(bodies(CHECK)[1].minimum_trusts, 2);
    assert.equal(jupyter.times('GET strategies'), 1);
  });

  test('why it can not be sent is said, the first of all reasons', async () => {
    const lone = { ...whole, maximum: 999 };
    for (const [given, said] of [
      [{ plan: null }, /checks have not passed/],
      [{ issues: [issue('error')] }, /stops it at every Trust/],
      [{ issues: [issue('warning')] }, /^$/],
      [{ rehearsed: false }, /Rehearse the notebook first/],
      [
        { issues: ['a', 'b', 'c'].map(name => issue('error', name)) },
        /No Trust is left/
      ],
      [{ issues: [issue('error', 'a')] }, /^$/],
      [{ parameters: [{ ...lone, default: 0 }] }, /no valid value/]
    ]) {
      const model = await checked(given);
      assert.match(model.obstacle, said);
      await pause();
      const may = said.source === '^$';
      assert.equal(jupyter.times(PREPARE), may ? 1 : 0, said.source);
      jupyter.asked.length = 0;
      model.dispose();
      await state.clear();
    }
    assert.match(opened().obstacle, /checks have not passed/);
  });

  test('without contact to the hub nothing is sent', async () => {
    const model = await checked();
    const { contact } = online('offline');
    workbench.take('https://schema.jupyter.org/flipnb/hub/v1', contact);
    assert.match(model.obstacle, /^Needs the hub, away since .+\.$/);
  });

  test('a sweep has as many runs as it has points, two hundred at most', async () => {
    const model = await checked({
      parameters: [whole, { ...whole, name: 'l' }]
    });
    const many = count =>
      Array.from({ length: count }, (_, i) => i + 1).join(', ');
    model.changeValue('k', many(10));
    model.changeValue('l', many(20));
    assert.equal(model.obstacle, '');
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 30 }),
        fc.integer({ min: 1, max: 30 }),
        (k, l) => {
          model.changeValue('k', many(k));
          model.changeValue('l', many(l));
          assert.equal(model.runs, k * l);
          assert.equal(
            model.obstacle,
            k * l > 200 ? `${k * l} runs are too many; 200 at most.` : ''
          );
        }
      )
    );
  });

  test('each point is looked at until its model is known; what has another is not sent', async () => {
    const model = await checked();
    await pause();
    await jupyter.answer(PREPARE, preview());
    const known = (n, problem = null) =>
      sample('ShapeCheck', { checked: n, of: 3, problem });
    assert.equal(model.activity, 'modelling');
    await jupyter.answer(SHAPES, known(1));
    assert.equal(model.shapes.checked, 1);
    model.stopShapes();
    await jupyter.answer(SHAPES, known(2));
    assert.equal(model.activity, null, 'a person stopped it');
    assert.equal(await model.send(), null);
    void model.checkShapes();
    await settled();
    const problem = "hidden=64 changes the model's shape.";
    await jupyter.answer(SHAPES, known(0, problem));
    assert.equal(model.shapes.problem, problem);
    assert.equal(model.isReady, false);
    assert.equal(await model.send(), null);
    assert.equal(jupyter.times(SEND), 0);
  });

  test('what is approved already is said, Trust by Trust', async () => {
    const model = await checked();
    await pause();
    const left = { ['a'.repeat(64)]: 3, ['b'.repeat(64)]: 0 };
    await jupyter.answer(
      PREPARE,
      sample('BundlePreview', { bundle: BUNDLE, executions_left: left })
    );
    assert.deepEqual(
      model.approved.map(({ trust, left }) => [trust.name, left]),
      [['a', 3]]
    );
  });

  test('several seeds of the split are a sweep', async () => {
    const model = await checked();
    model.change({ seeds: '0, 1, 2' });
    assert.equal(model.runs, 3);
    await pause();
    assert.deepEqual(bodies(PREPARE).at(-1).seeds, [0, 1, 2]);
    model.change({ seeds: '0, x' });
    assert.equal(model.obstacle, 'The split has no valid seed.');
    assert.match(model.seeds.problem, /"x" is no whole number/);
  });

  test('a Trust that would refuse it is not among the chosen, with its reason', async () => {
    const message = 'It allows <5> rounds %1.';
    const model = await checked({ issues: [issue('error', 'b', message)] });
    assert.deepEqual(
      model.chosen.map(({ name }) => name),
      ['a', 'c']
    );
    assert.equal(model.issuesOf(workbench.trusts[1])[0].message, message);
    assert.deepEqual(model.issuesOf(workbench.trusts[0]), []);
    assert.deepEqual(model.general, []);
  });

  test('what is sent is the bundle that is shown; then the draft is gone and the runs are listed', async () => {
    const model = await prepared();
    model.change({ title: 'Mine' });
    await pause();
    await jupyter.answer(PREPARE, preview());
    await jupyter.answer(SHAPES, KNOWN);
    assert.notEqual(await state.fetch(KEY), undefined);
    const sent = model.send();
    await settled();
    assert.equal(model.activity, 'sending');
    assert.equal(await model.send(), null);
    assert.equal(jupyter.asked.at(-1).bundle, BUNDLE);
    const run = sample('RunView', { study: 's', last_event: 1 });
    await jupyter.answer(
      SEND,
      sample('Receipt', { bundle: BUNDLE, runs: [run] })
    );
    assert.equal((await sent).bundle, BUNDLE);
    assert.equal(jupyter.times(SEND), 1);
    assert.equal(await state.fetch(KEY), undefined);
    assert.equal(workbench.runs.length, 1);
    assert.equal(model.sent[0].state, 'waiting');
    workbench.update({ ...run, state: 'running', last_event: 2 });
    assert.equal(model.sent[0].state, 'running');
  });

  test('after a failure the same is sent again; the draft is kept', async () => {
    const model = await prepared();
    model.change({ title: 'Mine' });
    await pause();
    await jupyter.answer(PREPARE, preview());
    await jupyter.answer(SHAPES, KNOWN);
    void model.send();
    await settled();
    await jupyter.refuse(SEND, {
      reason: 'hub-away',
      message: 'No contact with the hub.',
      remedy: 'Send it again.'
    });
    assert.equal(model.problem, 'No contact with the hub. Send it again.');
    assert.equal(model.receipt, null);
    assert.notEqual(await state.fetch(KEY), undefined);
    void model.send();
    await settled();
    assert.deepEqual(
      jupyter.asked
        .filter(({ operation }) => operation === SEND)
        .map(each => each.bundle),
      [BUNDLE, BUNDLE]
    );
  });

  test('once sent, another bundle is made only when it is asked for, without the unwilling', async () => {
    const model = await prepared();
    void model.send();
    await settled();
    const parts = ['declined', 'waiting', 'refused'].map((state, index) =>
      sample('TrustPart', { state, trust: workbench.trusts[index].key })
    );
    const run = sample('RunView', { study: 's', trusts: parts });
    await jupyter.answer(
      SEND,
      sample('Receipt', { bundle: BUNDLE, runs: [run] })
    );
    await pause();
    assert.equal(jupyter.times(PREPARE), 1);
    void model.again();
    await settled();
    assert.equal(model.receipt, null);
    assert.equal(model.preview, null);
    assert.deepEqual(model.draft.without, ['a', 'c']);
    assert.equal(jupyter.times(CHECK), 2);
  });

  test('a view that is there before the study is known looks the notebook over when it is', async () => {
    const late = new Workbench(jupyter.api);
    const model = new SendModel(PATH, late, async () => undefined, trans, null);
    await model.check();
    assert.equal(jupyter.times(CHECK), 0);
    await late.begin(null);
    await settled();
    assert.equal(jupyter.times(CHECK), 1);
    await jupyter.answer(CHECK, report());
    await late.refresh();
    assert.equal(jupyter.times(CHECK), 1);
  });

  test('closed, it asks no more', async () => {
    const model = opened();
    void model.check();
    await settled();
    const told = firings(model.changed);
    model.dispose();
    await jupyter.answer(CHECK, report());
    await pause();
    await workbench.refresh();
    await pause();
    assert.equal(jupyter.times(PREPARE), 0);
    assert.equal(jupyter.times(CHECK), 1);
    assert.equal(told.times, 0);
  });
});
