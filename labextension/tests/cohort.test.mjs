// A cohort under edit: steps back and forth, checks as it changes, answers to what was asked and to nothing else.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, mock, test } from 'node:test';

import { Signal } from '@lumino/signaling';
import fc from 'fast-check';

import { CohortModel } from '../src/models/cohort.ts';
import { CohortFileModel } from '../src/models/cohortfile.ts';
import { emptyDefinition, emptyRule } from '../src/models/definition.ts';
import { Workbench } from '../src/models/workbench.ts';
import { sample } from './contract.mjs';
import { firings, Jupyter, settled } from './jupyter.mjs';

const CHECKS = 'POST cohorts/checks';
const COUNTS = 'POST studies/{study}/counts';
const READ = 'GET cohorts/definition';
const SAVE = 'PUT cohorts/definition';
const PAUSE = 400;
const priced = (...costs) =>
  sample('CohortCheck', {
    rules: 2,
    cost: Math.max(1, ...costs),
    prices: costs.map((cost, index) =>
      sample('TrustPrice', {
        key: String(index).repeat(64),
        title: `Trust ${index}`,
        cost
      })
    )
  });
const good = priced();
const titled = Title => ({ ...emptyDefinition(), Title });
const answersOf = (...lefts) =>
  sample('TrustAnswers', {
    people: 120,
    answers: lefts.map((left, index) =>
      sample('TrustAnswer', {
        key: String(index).repeat(64),
        title: `Trust ${index}`,
        reply:
          left === null
            ? null
            : sample('CountReply', {
                budget: sample('Budget', { left, of: 99 })
              })
      })
    )
  });
const file = (Title, version) =>
  sample('CohortDefinition', {
    path: 'a.cohort.json',
    expression: titled(Title),
    version: version.repeat(64)
  });

let jupyter;
let workbench;
let drafts;

describe('a cohort under edit', () => {
  beforeEach(async () => {
    mock.timers.enable({ apis: ['setTimeout'] });
    jupyter = new Jupyter();
    jupyter.always('GET status', sample('LabStatus'));
    jupyter.always('GET studies', {
      studies: [sample('Study', { study: 's' })]
    });
    jupyter.always('GET studies/{study}/trusts', { trusts: [] });
    jupyter.always('GET studies/{study}/runs', { runs: [], next: null });
    jupyter.always('GET cohorts', { cohorts: [] });
    workbench = new Workbench(jupyter.api);
    await workbench.begin(null);
    jupyter.asked.length = 0;
    drafts = [];
  });

  afterEach(() => mock.timers.reset());

  const opened = () =>
    new CohortFileModel(workbench, draft => drafts.push(draft));

  /** A model that was checked once and knows the budgets. */
  async function checked(...lefts) {
    const model = opened();
    await pause();
    await jupyter.answer(CHECKS, good);
    await jupyter.answer(COUNTS, answersOf(...lefts));
    jupyter.asked.length = 0;
    return model;
  }

  async function pause() {
    mock.timers.tick(PAUSE);
    await settled();
  }

  test('every step goes back and forth, and ends where it began', () => {
    const steps = fc.array(
      fc.oneof(
        fc.string().map(title => model => model.edit(titled(title))),
        fc
          .array(fc.boolean(), { maxLength: 4 })
          .map(
            switches => model =>
              model.setRules(switches.map(on => ({ on, rule: emptyRule() })))
          ),
        fc.string().map(title => model => model.take(titled(title)))
      ),
      { maxLength: 12 }
    );
    fc.assert(
      fc.property(steps, acts => {
        const model = opened();
        const shown = () => ({
          definition: model.definition,
          rules: model.rules
        });
        const states = [shown()];
        for (const act of acts) {
          act(model);
          states.push(shown());
        }
        for (const state of states.slice(0, -1).reverse()) {
          assert.equal(model.canUndo, true);
          model.undo();
          assert.deepEqual(shown(), state);
        }
        assert.equal(model.canUndo, false);
        for (const state of states.slice(1)) {
          assert.equal(model.canRedo, true);
          model.redo();
          assert.deepEqual(shown(), state);
        }
        assert.equal(model.canRedo, false);
        acts.forEach(() => model.undo());
        assert.deepEqual(shown(), states[0]);
        model.dispose();
      })
    );
  });

  test('screens hear of every step, check and answer once', async () => {
    const model = await checked();
    const told = firings(model.changed);
    const fired = () => {
      const { times } = told;
      told.times = 0;
      return times;
    };
    model.edit(titled('one'));
    assert.equal(fired(), 1);
    model.setRules([{ on: true, rule: emptyRule() }]);
    assert.equal(fired(), 1);
    model.undo();
    assert.equal(fired(), 1);
    model.redo();
    assert.equal(fired(), 1);
    await pause();
    await jupyter.answer(CHECKS, good);
    assert.equal(fired(), 1);
    void model.ask();
    assert.equal(fired(), 1);
    await settled();
    await jupyter.answer(COUNTS, answersOf(1));
    assert.equal(fired(), 1);
    jupyter.always(READ, file('kept', 'a'));
    await model.open('a.cohort.json');
    assert.equal(fired(), 1);
    jupyter.always(SAVE, file('kept', 'b'));
    await model.save();
    assert.equal(fired(), 1);
  });

  test('an edit after a step back leaves nothing to go forth to', () => {
    const model = opened();
    model.edit(titled('one'));
    model.undo();
    model.edit(titled('other'));
    assert.equal(model.canRedo, false);
    model.undo();
    assert.equal(model.definition.Title, undefined);
  });

  test('of very many steps the last two hundred are kept', () => {
    const model = opened();
    for (let step = 1; step <= 250; step++) {
      model.edit(titled(String(step)));
    }
    let back = 0;
    while (model.canUndo) {
      model.undo();
      back += 1;
    }
    assert.equal(back, 200);
    assert.equal(model.definition.Title, '50');
  });

  test('a rule that is switched off is no part of the definition, and is not lost', () => {
    const model = opened();
    const rules = ['a', 'b'].map(name => ({
      on: name === 'b',
      rule: { ...emptyRule(), name }
    }));
    model.setRules(rules);
    assert.deepEqual(
      model.expression.InclusionRules.map(({ name }) => name),
      ['b']
    );
    assert.deepEqual(model.rules, rules);
  });

  test('what the builder does not edit goes through it unchanged', () => {
    const model = opened();
    const stranger = {
      ...emptyDefinition(),
      CensoringCriteria: [{ Death: {} }],
      InclusionRules: [{ ...emptyRule(), name: '<b>', cdmVersionRange: '>=5' }]
    };
    model.take(stranger);
    assert.deepEqual(model.expression, stranger);
  });

  test('a definition is checked once it has rested, as it is then', async () => {
    const model = opened();
    for (const title of ['H', 'He', 'Hea']) {
      model.edit(titled(title));
      mock.timers.tick(PAUSE - 1);
    }
    await settled();
    assert.deepEqual(jupyter.asked, []);
    await pause();
    assert.equal(jupyter.times(CHECKS), 1);
    assert.equal(jupyter.asked[0].body.question.expression.Title, 'Hea');
    await jupyter.answer(CHECKS, good);
    assert.deepEqual(model.check, good);
  });

  test('the check of what was shown before is not taken for one of what is shown', async () => {
    const model = await checked();
    model.edit(titled('first'));
    await pause();
    model.edit(titled('second'));
    await pause();
    const problem = 'Age is not supported in rule 1.';
    await jupyter.answer(CHECKS, sample('CohortCheck', { problem }), 1);
    await jupyter.answer(CHECKS, good, 0);
    assert.equal(model.check.problem, problem);
  });

  test('a check that failed late says nothing of what is shown now', async () => {
    const model = await checked();
    model.edit(titled('first'));
    await pause();
    model.edit(titled('second'));
    await pause();
    await jupyter.answer(CHECKS, good, 1);
    await jupyter.lose(CHECKS, 0);
    assert.equal(model.problem, '');
  });

  test('why it could not be checked is told until it could', async () => {
    const model = await checked();
    model.edit(titled('first'));
    await pause();
    await jupyter.refuse(CHECKS, {
      reason: 'no-twin',
      message: 'There is no twin.',
      remedy: 'Run flip.twin.'
    });
    assert.equal(model.problem, 'There is no twin. Run flip.twin.');
    model.edit(titled('second'));
    await pause();
    await jupyter.answer(CHECKS, good);
    assert.equal(model.problem, '');
  });

  test('after the first check the budgets are asked for, for nothing, and once', async () => {
    const model = opened();
    await pause();
    await jupyter.answer(CHECKS, good);
    const [asked] = jupyter.asked.filter(
      ({ operation }) => operation === COUNTS
    );
    assert.equal(asked.study, 's');
    assert.equal(asked.body.people, false);
    assert.deepEqual(asked.body.charts, []);
    await jupyter.answer(COUNTS, answersOf(7));
    assert.equal(model.current, false);
    assert.equal(model.answeredAt, null);
    model.edit(titled('next'));
    await pause();
    await jupyter.answer(CHECKS, good);
    assert.equal(jupyter.times(COUNTS), 1);
  });

  test('a definition with a problem is not sent to the Trusts unasked', async () => {
    opened();
    await pause();
    await jupyter.answer(CHECKS, sample('CohortCheck', { problem: 'No.' }));
    assert.equal(jupyter.times(COUNTS), 0);
  });

  test('answers are current only while what was asked is shown', async () => {
    const model = await checked();
    model.edit(titled('asked'));
    const asking = model.ask();
    await settled();
    assert.equal(model.asking, true);
    model.edit(titled('meanwhile'));
    await jupyter.answer(COUNTS, answersOf(5));
    await asking;
    assert.equal(model.asking, false);
    assert.equal(model.current, false);
    assert.equal(model.answers.people, 120);
    assert.notEqual(model.answeredAt, null);
    model.undo();
    assert.equal(model.current, true);
  });

  test('the Trusts are asked once at a time, since each question costs', async () => {
    const model = await checked();
    void model.ask();
    void model.ask();
    await settled();
    assert.equal(jupyter.times(COUNTS), 1);
    await jupyter.refuse(COUNTS, {
      reason: 'budget-spent',
      message: 'Nothing is left.',
      remedy: 'Wait.'
    });
    assert.equal(model.asking, false);
    assert.equal(model.problem, 'Nothing is left. Wait.');
    void model.ask();
    await settled();
    assert.equal(jupyter.times(COUNTS), 2);
  });

  test('without a study nobody is asked', async () => {
    jupyter.always('GET studies', { studies: [] });
    await workbench.refresh();
    const model = opened();
    await model.ask();
    assert.equal(jupyter.times(COUNTS), 0);
    assert.equal(model.asking, false);
  });

  test('a Trust that has less left than the question costs there is named, the first of them', async () => {
    const trusts = fc.array(fc.tuple(fc.option(fc.nat(9)), fc.nat(9)), {
      minLength: 1,
      maxLength: 6
    });
    await fc.assert(
      fc.asyncProperty(trusts, async each => {
        const model = opened();
        await pause();
        await jupyter.answer(CHECKS, priced(...each.map(([, cost]) => cost)));
        await jupyter.answer(COUNTS, answersOf(...each.map(([left]) => left)));
        const found = each.findIndex(
          ([left, cost]) => left !== null && cost > left
        );
        assert.equal(
          model.unaffordable?.title,
          found < 0 ? undefined : `Trust ${found}`
        );
        model.dispose();
      }),
      { numRuns: 20 }
    );
  });

  test('the price is that of what is shown, and unknown until that was looked at', async () => {
    const model = opened();
    assert.equal(model.price, null);
    await pause();
    assert.deepEqual(jupyter.asked[0].body, {
      question: {
        expression: model.expression,
        people: true,
        funnel: false,
        charts: []
      },
      path: null,
      study: 's'
    });
    await jupyter.answer(CHECKS, priced(1, 0));
    assert.equal(model.price, 1);
    await jupyter.answer(COUNTS, answersOf(9, 9));
    model.choose(true, [{ by: 'sex' }]);
    assert.equal(model.price, null);
    mock.timers.tick(0);
    await settled();
    const { question } = jupyter.asked.at(-1).body;
    assert.equal(question.funnel, true);
    assert.deepEqual(question.charts, [{ by: 'sex' }]);
    await jupyter.answer(CHECKS, priced(5, 4));
    assert.equal(model.price, 5);
    void model.ask();
    await settled();
    assert.equal(jupyter.asked.at(-1).body.agreed, 5);
    await jupyter.answer(COUNTS, answersOf(4, 4));
    assert.equal(model.budgetOf('0'.repeat(64)).left, 4);
    mock.timers.tick(0);
    await settled();
    await jupyter.answer(CHECKS, priced(0, 0));
    assert.equal(model.price, 1);
    model.edit(titled('edited'));
    assert.equal(model.price, null);
  });

  test('a price that rose meanwhile is told, and looked at again', async () => {
    const model = await checked(5);
    await pause();
    await jupyter.answer(CHECKS, priced(0));
    void model.ask();
    await settled();
    await jupyter.refuse(COUNTS, {
      reason: 'price-changed',
      message: 'This costs 1 now.',
      remedy: 'Ask again.'
    });
    mock.timers.tick(0);
    await settled();
    await jupyter.answer(CHECKS, priced(1));
    assert.equal(model.price, 1);
    assert.equal(model.problem, 'This costs 1 now. Ask again.');
    model.edit(titled('edited'));
    await pause();
    await jupyter.answer(CHECKS, good);
    assert.equal(model.problem, '');
  });

  test('counts come back with a cohort, and only to the definition that was counted', async () => {
    const model = opened();
    await pause();
    const last = {
      asked: '2026-12-01T14:01:00Z',
      answers: answersOf(3)
    };
    await jupyter.answer(CHECKS, { ...good, last });
    await jupyter.answer(COUNTS, answersOf(2));
    assert.equal(model.current, true);
    assert.equal(model.answers.people, 120);
    assert.deepEqual(model.answeredAt, new Date(last.asked));
    assert.equal(model.budgetOf('0'.repeat(64)).left, 2);
    model.edit(titled('edited'));
    await pause();
    await jupyter.answer(CHECKS, good);
    assert.equal(model.current, false);
    assert.equal(model.answers.people, 120);
  });

  test('what stays after each rule is what the Trusts that told it have together', async () => {
    const model = await checked(9, 9);
    const told = (...people) =>
      sample('TrustAnswer', {
        reply: sample('CountReply', {
          funnel: people.map((number, rules) => ({ rules, people: number }))
        })
      });
    void model.ask();
    await settled();
    await jupyter.answer(
      COUNTS,
      sample('TrustAnswers', {
        answers: [
          told(300, 200, null),
          told(320, null, null),
          sample('TrustAnswer', { reply: null })
        ]
      })
    );
    assert.deepEqual(model.steps, [620, 200, null]);
  });

  test('another study is another question: what the one before told is gone', async () => {
    const model = await checked(7);
    jupyter.always('GET studies', {
      studies: [sample('Study', { study: 'other' })]
    });
    await workbench.refresh();
    mock.timers.tick(0);
    await settled();
    assert.equal(model.answers, null);
    assert.equal(jupyter.asked.at(-1).body.study, 'other');
  });

  test('budgets that can not be had are not asked for without end', async () => {
    opened();
    await pause();
    await jupyter.answer(CHECKS, good);
    await jupyter.lose(COUNTS);
    await pause();
    assert.equal(jupyter.times(COUNTS), 1);
  });

  test('closed, it neither checks nor asks', async () => {
    const resting = opened();
    resting.dispose();
    await pause();
    assert.deepEqual(jupyter.asked, []);
    const model = opened();
    await pause();
    const told = firings(model.changed);
    model.dispose();
    await jupyter.answer(CHECKS, good);
    assert.equal(jupyter.times(COUNTS), 0);
    model.edit(titled('late'));
    await pause();
    assert.equal(jupyter.times(CHECKS), 1);
    assert.equal(told.times, 0);
  });

  test('any source will do: a kernel is asked as the server is', async () => {
    const asked = [];
    const kernel = {
      changed: new Signal({}),
      study: 'k',
      online: true,
      away: null,
      check: ({ expression }) => {
        asked.push(expression);
        return Promise.reject(new Error('The kernel died.'));
      }
    };
    const model = new CohortModel(kernel);
    await pause();
    assert.deepEqual(asked, [emptyDefinition()]);
    assert.equal(model.problem, 'The kernel died.');
  });

  test('a file is shown without a step back to what was before it', async () => {
    const model = opened();
    model.edit(titled('before'));
    model.edit(titled('taken back'));
    model.undo();
    const opening = model.open('a.cohort.json');
    await settled();
    await jupyter.answer(READ, file('kept', 'a'));
    await opening;
    assert.equal(model.expression.Title, 'kept');
    assert.equal(model.canUndo, false);
    assert.equal(model.canRedo, false);
    assert.equal(model.dirty, false);
    model.edit(titled('changed'));
    assert.equal(model.dirty, true);
    model.undo();
    assert.equal(model.dirty, false);
  });

  test('a file that can not be read is the caller’s to tell', async () => {
    const model = opened();
    const told = assert.rejects(model.open('a.cohort.json'), {
      message: 'It is no JSON.'
    });
    await settled();
    await jupyter.refuse(READ, {
      reason: 'not-json',
      message: 'It is no JSON.',
      remedy: ''
    });
    await told;
    assert.equal(model.path, null);
  });

  test('a save names the version it was made from; where that was changed elsewhere it says so', async () => {
    jupyter.always(READ, file('kept', 'a'));
    const model = opened();
    await model.open('a.cohort.json');
    model.edit(titled('mine'));
    const refused = model.save();
    await settled();
    assert.equal(jupyter.asked.at(-1).body.base, 'a'.repeat(64));
    await jupyter.refuse(SAVE, {
      reason: 'changed-elsewhere',
      message: 'It was changed.',
      remedy: ''
    });
    assert.equal(await refused, false);
    assert.equal(model.dirty, true);
    assert.equal(model.problem, '');
    jupyter.always(READ, file('theirs', 'b'));
    const forced = model.save('a.cohort.json', true);
    await settled();
    assert.equal(jupyter.asked.at(-1).body.base, 'b'.repeat(64));
    assert.equal(jupyter.asked.at(-1).body.expression.Title, 'mine');
    await jupyter.answer(SAVE, file('mine', 'c'));
    assert.equal(await forced, true);
    assert.equal(model.dirty, false);
  });

  test('under another name a save is made from nothing; without one there is none', async () => {
    jupyter.always(READ, file('kept', 'a'));
    const model = opened();
    assert.equal(await model.save(), false);
    await model.open('a.cohort.json');
    void model.save('b.cohort.json');
    await settled();
    assert.equal(jupyter.times(SAVE), 1);
    assert.equal(jupyter.asked.at(-1).body.base, null);
  });

  test('a save that failed for another reason tells it, and the changes stay', async () => {
    const model = opened();
    model.edit(titled('mine'));
    const saved = model.save('a.cohort.json');
    await settled();
    await jupyter.refuse(SAVE, {
      reason: 'disk-full',
      message: 'The disk is full.',
      remedy: 'Make room.'
    });
    await saved;
    assert.equal(model.problem, 'The disk is full. Make room.');
    assert.equal(model.dirty, true);
    assert.equal(model.path, null);
  });

  test('a draft has all that was edited and no count; restored, it is as it was', async () => {
    const model = await checked(7);
    void model.ask();
    await settled();
    await jupyter.answer(COUNTS, answersOf(5));
    model.setRules([{ on: false, rule: { ...emptyRule(), name: 'off' } }]);
    model.edit(titled('draft'));
    const kept = JSON.parse(JSON.stringify(drafts.at(-1)));
    assert.deepEqual(Object.keys(kept).sort(), [
      'definition',
      'path',
      'rules',
      'version'
    ]);
    const again = opened();
    again.restore(kept);
    assert.deepEqual(again.expression, model.expression);
    assert.deepEqual(again.rules, model.rules);
    assert.equal(again.dirty, true);
    assert.equal(again.canUndo, false);
  });
});
