// What all screens share: lists that are fetched once, pushed to from then on, and never fall back.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { SILENCE_MILLISECONDS, Workbench } from '../src/models/workbench.ts';
import { held, sample } from './contract.mjs';
import { firings, Jupyter, settled } from './jupyter.mjs';

const event = name => `https://schema.jupyter.org/flipnb/${name}/v1`;
const id = number => number.toString(16).padStart(32, '0');
const study = (name, kept = true) => sample('Study', { study: name, kept });
const run = (number, last_event = 0, given = {}) =>
  sample('RunView', { run: id(number), study: 'a', last_event, ...given });
const trust = (name, given = {}) =>
  sample('StudyTrust', { name, key: name.repeat(64), ...given });
const contact = (state, connection = 1) =>
  sample('HubContact', { state, connection });
const change = (view, numbers = []) =>
  sample('RunChange', {
    run: view.run,
    study: view.study,
    view,
    number: numbers.at(-1) ?? 0,
    events: numbers.map(number => happening(number, view.run))
  });
const happening = (number, of) =>
  sample('RunEvent', { number, run: of, kind: 'state', state: 'running' });
const names = list => list.map(({ name }) => name);
const ids = list => list.map(view => parseInt(view.run, 16));

const STUDIES = 'GET studies';
const TRUSTS = 'GET studies/{study}/trusts';
const RUNS = 'GET studies/{study}/runs';
const COHORTS = 'GET cohorts';
const EVENTS = 'GET runs/{run}/events';

const page = (runs, next = null) => ({ runs, next });

function quiet(runs = []) {
  const jupyter = new Jupyter();
  jupyter.always(
    'GET status',
    sample('LabStatus', { contact: contact('online') })
  );
  jupyter.always(STUDIES, { studies: [study('a'), study('b')] });
  jupyter.always(TRUSTS, { trusts: [trust('c'), trust('d')] });
  jupyter.always(RUNS, page(runs));
  jupyter.always(COHORTS, { cohorts: [sample('CohortFile')] });
  return { jupyter, workbench: new Workbench(jupyter.api) };
}

test('a list of runs whose pages lead back is not followed for ever', async () => {
  const { jupyter } = quiet();
  jupyter.always(RUNS, page([run(1)], id(1)));
  await assert.rejects(jupyter.api.runs('a'), /leads back/);
  assert.equal(jupyter.times(RUNS), 2);
});

test('it begins with the study that was chosen last, else with the first', async () => {
  for (const [chosen, expected] of [
    ['b', 'b'],
    ['gone', 'a'],
    [null, 'a']
  ]) {
    const { jupyter, workbench } = quiet([run(1)]);
    assert.equal(workbench.ready, false);
    await workbench.begin(chosen);
    assert.equal(workbench.ready, true);
    assert.equal(workbench.study.study, expected);
    assert.deepEqual(names(workbench.trusts), ['c', 'd']);
    assert.equal(workbench.cohorts.length, 1);
    const asked = jupyter.asked.filter(({ operation }) => operation === RUNS);
    assert.deepEqual(
      asked.map(each => each.study),
      [expected]
    );
  }
});

test('screens hear when it is ready, and when the lists are there', async () => {
  const { jupyter, workbench } = quiet([run(1)]);
  jupyter.always(
    'GET status',
    sample('LabStatus', { contact: contact('online'), researcher: 'Ada' })
  );
  assert.equal(workbench.researcher, null);
  const seen = [];
  workbench.changed.connect(() => {
    seen.push([workbench.researcher, workbench.runs.length]);
  });
  await workbench.begin(null);
  assert.deepEqual(seen, [
    ['Ada', 0],
    ['Ada', 1]
  ]);
  assert.notEqual(workbench.heard, null);
});

test('a try to reach the hub shows at once what came of it', async () => {
  const { jupyter, workbench } = quiet();
  await workbench.begin(null);
  const told = firings(workbench.changed);
  const tried = workbench.tryNow();
  await settled();
  await jupyter.answer('POST hub/tries', contact('offline'));
  await tried;
  assert.equal(workbench.contact.state, 'offline');
  assert.equal(told.times, 1);
});

test('cohort files are fetched again when one was made', async () => {
  const { jupyter, workbench } = quiet();
  await workbench.begin(null);
  const told = firings(workbench.changed);
  jupyter.always('GET cohorts', { cohorts: [] });
  await workbench.refreshCohorts();
  assert.deepEqual(workbench.cohorts, []);
  assert.equal(told.times, 1);
});

test('a study that the hub has not kept is not asked for its Trusts', async () => {
  const { jupyter, workbench } = quiet();
  jupyter.always(STUDIES, { studies: [study('a', false)] });
  await workbench.begin(null);
  assert.equal(jupyter.times(TRUSTS), 0);
  assert.deepEqual(workbench.trusts, []);
});

test('without a study no list is asked for', async () => {
  const { jupyter, workbench } = quiet();
  jupyter.always(STUDIES, { studies: [] });
  await workbench.begin('a');
  assert.equal(workbench.study, null);
  assert.equal(jupyter.asked.length, 2);
  assert.equal(workbench.problem, '');
});

test('where the server extension is not there, its refusal is the caller’s to tell', async () => {
  const jupyter = new Jupyter();
  const told = assert.rejects(new Workbench(jupyter.api).begin(null), {
    message: 'The Jupyter server answered with status 404.'
  });
  await settled();
  await jupyter.crash('GET status', 404, '');
  await told;
});

test('why the lists could not be fetched is told until they could; what was known stays', async () => {
  const { jupyter, workbench } = quiet([run(1)]);
  await workbench.begin(null);
  const heard = workbench.heard;
  jupyter.never(RUNS);
  void workbench.refresh();
  await settled();
  await jupyter.refuse(RUNS, {
    reason: 'hub-away',
    message: 'No contact with the hub.',
    remedy: 'It is tried again.'
  });
  assert.equal(
    workbench.problem,
    'No contact with the hub. It is tried again.'
  );
  assert.deepEqual(ids(workbench.runs), [1]);
  assert.equal(workbench.heard, heard);
  void workbench.refresh();
  await settled();
  await jupyter.answer(RUNS, page([]));
  assert.equal(workbench.problem, '');
});

test('the lists of a study that is chosen no more are not shown, however late they come', async () => {
  const { jupyter, workbench } = quiet([run(1)]);
  await workbench.begin('a');
  jupyter.never(RUNS);
  void workbench.refresh();
  await settled();
  const told = firings(workbench.changed);
  workbench.choose('b');
  assert.equal(told.times, 1);
  assert.deepEqual(workbench.runs, []);
  assert.deepEqual(workbench.trusts, []);
  await settled();
  await jupyter.answer(RUNS, page([run(7, 0, { study: 'b' })]), 1);
  await jupyter.answer(RUNS, page([run(1)]), 0);
  assert.deepEqual(ids(workbench.runs), [7]);
});

test('to choose the study that is shown changes nothing', async () => {
  const { jupyter, workbench } = quiet([run(1)]);
  await workbench.begin('a');
  const told = firings(workbench.changed);
  const before = jupyter.asked.length;
  workbench.choose('a');
  await settled();
  assert.equal(told.times, 0);
  assert.equal(jupyter.asked.length, before);
  assert.deepEqual(ids(workbench.runs), [1]);
});

test('a run that was pushed while the list was on its way does not fall back', async () => {
  const { jupyter, workbench } = quiet([run(1, 3)]);
  await workbench.begin('a');
  jupyter.never(RUNS);
  void workbench.refresh();
  await settled();
  workbench.take(event('run'), change(run(1, 5, { state: 'running' })));
  workbench.take(event('run'), change(run(2, 1)));
  await jupyter.answer(RUNS, page([run(1, 4)]));
  assert.deepEqual(ids(workbench.runs), [2, 1]);
  assert.equal(workbench.runs[1].last_event, 5);
  assert.equal(workbench.runs[1].state, 'running');
});

test('a long list of runs is fetched page by page, and shown when all of it is there', async () => {
  const { jupyter, workbench } = quiet();
  jupyter.never(RUNS);
  void workbench.begin('a');
  await settled();
  await jupyter.answer(RUNS, page([run(4), run(3)], run(3).run));
  assert.deepEqual(workbench.runs, []);
  await jupyter.answer(RUNS, page([run(2), run(1)]));
  assert.deepEqual(ids(workbench.runs), [4, 3, 2, 1]);
  const asked = jupyter.asked.filter(({ operation }) => operation === RUNS);
  assert.deepEqual(
    asked.map(({ after }) => after),
    [undefined, run(3).run]
  );
});

test('a run that the hub has no more goes with the next list', async () => {
  const { jupyter, workbench } = quiet([run(1), run(2)]);
  await workbench.begin('a');
  jupyter.always(RUNS, page([run(2)]));
  await workbench.refresh();
  assert.deepEqual(ids(workbench.runs), [2]);
});

test('whatever the order of what is pushed, each run is there once, as it was last', async () => {
  const pushes = fc.array(fc.tuple(fc.nat({ max: 4 }), fc.nat({ max: 9 })));
  await fc.assert(
    fc.asyncProperty(pushes, async pushed => {
      const { workbench } = quiet([run(0), run(1)]);
      await workbench.begin('a');
      const last = new Map([
        [0, 0],
        [1, 0]
      ]);
      const order = [0, 1];
      for (const [number, at] of pushed) {
        const told = firings(workbench.runChanged);
        workbench.take(event('run'), change(run(number, at)));
        if (!last.has(number)) {
          order.unshift(number);
        }
        const isNews = !(last.get(number) > at);
        assert.equal(told.times, isNews ? 1 : 0);
        if (isNews) {
          last.set(number, at);
        }
      }
      assert.deepEqual(ids(workbench.runs), order);
      for (const view of workbench.runs) {
        assert.equal(view.last_event, last.get(parseInt(view.run, 16)));
      }
    }),
    { numRuns: 30 }
  );
});

test('a run of another study is told of, and not listed', async () => {
  const { workbench } = quiet([run(1)]);
  await workbench.begin('a');
  const told = firings(workbench.runChanged);
  workbench.take(event('run'), change(run(9, 1, { study: 'b' })));
  assert.equal(told.times, 1);
  assert.deepEqual(ids(workbench.runs), [1]);
});

test('contact that was made anew has everything fetched; the same contact, nothing', async () => {
  const { jupyter, workbench } = quiet();
  await workbench.begin(null);
  const push = (state, connection) => {
    held('HubContact', contact(state, connection));
    workbench.take(event('hub'), contact(state, connection));
    return settled();
  };
  assert.equal(jupyter.times(STUDIES), 1);
  await push('online', 1);
  assert.equal(jupyter.times(STUDIES), 1);
  const told = firings(workbench.changed);
  await push('offline', 1);
  assert.equal(told.times, 1);
  assert.equal(jupyter.times(STUDIES), 1);
  await push('online', 2);
  assert.equal(jupyter.times(STUDIES), 2);
  assert.equal(workbench.contact.connection, 2);
  assert.notEqual(workbench.beat, null);
});

test('a beat shows that the lists are right, unless they could not be fetched', async () => {
  const { jupyter, workbench } = quiet();
  jupyter.never(STUDIES);
  const begun = workbench.begin(null);
  await settled();
  await jupyter.lose(STUDIES);
  await begun;
  workbench.take(event('hub'), contact('online', 1));
  assert.equal(workbench.heard, null);
});

test('Trusts are fetched when they have changed; where the hub is away the known ones stay', async () => {
  const { jupyter, workbench } = quiet();
  await workbench.begin(null);
  jupyter.never(TRUSTS);
  workbench.take(event('trusts'), sample('TrustsChange'));
  await settled();
  await jupyter.lose(TRUSTS);
  assert.deepEqual(names(workbench.trusts), ['c', 'd']);
  assert.equal(workbench.problem, '');
  workbench.take(event('trusts'), sample('TrustsChange'));
  await settled();
  await jupyter.answer(TRUSTS, { trusts: [trust('e')] });
  assert.deepEqual(names(workbench.trusts), ['e']);
});

test('a Trust is called by its title, a stranger by the beginning of its key', async () => {
  const { jupyter, workbench } = quiet();
  const title = '<script>Cleveland</script>';
  jupyter.always(TRUSTS, { trusts: [trust('c', { title })] });
  await workbench.begin(null);
  assert.equal(workbench.trustTitle('c'.repeat(64)), title);
  assert.equal(workbench.trustTitle('f'.repeat(64)), 'f'.repeat(12));
});

test('a run is fetched only where it is not among the known ones', async () => {
  const { jupyter, workbench } = quiet([run(1)]);
  await workbench.begin(null);
  assert.equal((await workbench.run(id(1))).run, id(1));
  assert.equal(jupyter.times('GET runs/{run}'), 0);
  jupyter.always('GET runs/{run}', run(2));
  assert.equal((await workbench.run(id(2))).run, id(2));
  assert.equal(jupyter.times('GET runs/{run}'), 1);
});

test('a history has each event once: fetched, pushed, or fetched where there was a gap', async () => {
  const { jupyter, workbench } = quiet([run(1)]);
  await workbench.begin(null);
  const history = workbench.history(id(1));
  const numbers = () => history.events.map(({ number }) => number);
  const push = (...pushed) => {
    workbench.take(event('run'), change(run(1, pushed.at(-1)), pushed));
    return settled();
  };
  const page = (...of) =>
    jupyter.answer(EVENTS, { events: of.map(each => happening(each, id(1))) });
  await settled();
  await page(1, 2);
  await page();
  assert.deepEqual(numbers(), [1, 2]);
  await push(2, 3);
  assert.deepEqual(numbers(), [1, 2, 3]);
  await push(6);
  assert.equal(jupyter.asked.at(-1).after, '3');
  await page(4, 5, 6);
  await page();
  await push(5, 6);
  assert.deepEqual(numbers(), [1, 2, 3, 4, 5, 6]);
  workbench.take(event('run'), change(run(2, 1), [1]));
  await settled();
  assert.deepEqual(numbers(), [1, 2, 3, 4, 5, 6]);
});

test('events that are pushed while older ones are fetched come after them', async () => {
  const { jupyter, workbench } = quiet([run(1)]);
  await workbench.begin(null);
  const history = workbench.history(id(1));
  await settled();
  workbench.take(event('run'), change(run(1, 3), [3]));
  const page = (...of) =>
    jupyter.answer(EVENTS, { events: of.map(each => happening(each, id(1))) });
  await page(1, 2);
  await page();
  await page(3);
  await page();
  assert.deepEqual(
    history.events.map(({ number }) => number),
    [1, 2, 3]
  );
});

test('the history of a view that was closed asks no more', async () => {
  const { jupyter, workbench } = quiet([run(1)]);
  jupyter.always(EVENTS, { events: [] });
  await workbench.begin(null);
  const history = workbench.history(id(1));
  await settled();
  const before = jupyter.times(EVENTS);
  history.dispose();
  await workbench.refresh();
  workbench.take(event('run'), change(run(1, 9), [9]));
  await settled();
  assert.equal(jupyter.times(EVENTS), before);
});

test('why events could not be fetched is kept until they could', async () => {
  const { jupyter, workbench } = quiet([run(1)]);
  await workbench.begin(null);
  const history = workbench.history(id(1));
  await settled();
  await jupyter.lose(EVENTS);
  assert.notEqual(history.error, null);
  await workbench.refresh();
  await settled();
  await jupyter.answer(EVENTS, { events: [] });
  assert.equal(history.error, null);
});

test('a server that is silent for three beats can not be asked, until it speaks again', async () => {
  const { workbench } = quiet();
  await workbench.begin(null);
  workbench.take(event('hub'), contact('online', 1));
  const told = firings(workbench.changed);
  const heard = workbench.beat.getTime();
  workbench.notice(heard + SILENCE_MILLISECONDS);
  assert.deepEqual([workbench.away, told.times], [null, 0]);
  workbench.notice(heard + SILENCE_MILLISECONDS + 1);
  workbench.notice(heard + SILENCE_MILLISECONDS + 5000);
  assert.deepEqual(
    [Date.parse(workbench.away), told.times],
    [heard, 1],
    'said once, since when'
  );
  workbench.take(event('hub'), contact('online', 1));
  assert.deepEqual([workbench.away, told.times], [null, 2]);
});

test('without the hub it is away since the lists were right', async () => {
  const { workbench } = quiet();
  await workbench.begin(null);
  const right = workbench.heard.toISOString();
  workbench.take(event('hub'), contact('offline', 0));
  assert.equal(workbench.away, right);
});
