// One request at the desk: what must be seen before it may be approved, and which answer counts.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Desk } from '../src/models/desk.ts';
import { RequestModel } from '../src/models/request.ts';
import { sample } from './contract.mjs';
import { firings, Jupyter, settled } from './jupyter.mjs';

const BUNDLE = 'b'.repeat(64);
const REQUEST = 'GET desk/requests/{bundle}';
const detail = (state = 'waiting', given = {}) =>
  sample('RequestDetail', {
    summary: sample('RequestSummary', { bundle: BUNDLE, state }),
    estate_version: 'v1',
    ...given
  });

const OPENED = 'POST desk/requests/{bundle}/opened';

function opened(controllers = ['anna']) {
  const jupyter = new Jupyter();
  const status = sample('DeskStatus', { controllers });
  jupyter.always('GET desk', { status });
  jupyter.always('GET desk/requests', { requests: [] });
  jupyter.always('GET desk/runs', { runs: [] });
  jupyter.always(OPENED, {});
  const desk = new Desk(jupyter.api);
  return { jupyter, desk, model: new RequestModel(BUNDLE, desk) };
}

/**
 * One whose desk has said who decides there; the request is here.
 */
async function begun(controllers, given = detail()) {
  const all = opened(controllers);
  await all.desk.begin();
  await settled();
  for (let times = all.jupyter.times(REQUEST); times > 0; times -= 1) {
    await all.jupyter.answer(REQUEST, given);
  }
  return all;
}

test('it is approved only after brief and code were opened, and the agent keeps who opened what', async () => {
  const { jupyter, model } = await begun(['anna']);
  assert.deepEqual(model.unread, ['brief', 'code']);
  assert.deepEqual([model.mayApprove, model.mayDecline], [false, true]);
  await model.open('brief');
  assert.deepEqual(model.unread, ['code']);
  assert.equal(model.mayApprove, false);
  await model.open('code');
  await model.open('code');
  assert.equal(model.mayApprove, true);
  const told = jupyter.asked.filter(({ operation }) => operation === OPENED);
  assert.deepEqual(
    told.map(({ body }) => body),
    [
      { controller: 'anna', part: 'brief' },
      { controller: 'anna', part: 'code' }
    ]
  );
});

test('what was opened before need not be opened again, by the same person', async () => {
  const before = ['brief', 'code'].map(part => ({ controller: 'anna', part }));
  const { jupyter, desk, model } = await begun(
    ['anna', 'ben'],
    detail('waiting', { opened: before })
  );
  assert.equal(model.person, '');
  assert.equal(model.mayApprove, false);
  await model.open('brief');
  assert.equal(jupyter.times(OPENED), 0);
  desk.person = 'anna';
  assert.equal(model.mayApprove, true);
  desk.person = 'ben';
  assert.deepEqual(model.unread, ['brief', 'code']);
});

test('another person has opened nothing yet', async () => {
  const { desk, model } = await begun(['anna', 'ben']);
  desk.person = 'anna';
  await model.open('brief');
  await model.open('code');
  assert.equal(model.mayApprove, true);
  desk.person = 'ben';
  assert.equal(model.mayApprove, false);
});

test('who signed it as its researcher does not decide', async () => {
  const { model } = await begun(['anna'], detail('waiting', { own: ['anna'] }));
  await model.open('brief');
  await model.open('code');
  assert.deepEqual([model.isOwn, model.mayApprove], [true, false]);
});

test('a part of which the agent could not be told counts as not opened', async () => {
  const { jupyter, model } = await begun(['anna']);
  jupyter.never(OPENED);
  const opening = model.open('code');
  await settled();
  await jupyter.lose(OPENED);
  await opening;
  assert.deepEqual(model.unread, ['brief', 'code']);
  assert.notEqual(model.problem, '');
});

test('it is not approved without an estate, and a decided one no more', async () => {
  for (const [state, given, may, mayDecline] of [
    ['waiting', {}, true, true],
    ['waiting', { estate_version: null }, false, true],
    ['approved', {}, true, true],
    ['declined', {}, false, false],
    ['refused', {}, false, false],
    ['expired', {}, false, false]
  ]) {
    const { model } = await begun(['anna'], detail(state, given));
    await model.open('brief');
    await model.open('code');
    assert.equal(model.mayApprove, may, state);
    assert.equal(model.mayDecline, mayDecline, state);
  }
});

test('it is fetched again at each change of the desk; what was opened stays opened', async () => {
  const { jupyter, desk, model } = await begun(['anna']);
  await model.open('brief');
  await model.open('code');
  const asked = jupyter.times(REQUEST);
  await desk.refresh();
  await settled();
  assert.equal(jupyter.times(REQUEST), asked + 1);
  jupyter.always(REQUEST, detail('approved'));
  await desk.refresh();
  await settled();
  assert.equal(model.detail.summary.state, 'approved');
  assert.equal(model.mayApprove, true);
});

test('an answer that comes late is not taken for the newest', async () => {
  const { jupyter, desk, model } = opened();
  await desk.refresh();
  await settled();
  assert.equal(jupyter.times(REQUEST), 2);
  await jupyter.answer(REQUEST, detail('declined'), 1);
  await jupyter.answer(REQUEST, detail('waiting'), 0);
  assert.equal(model.detail.summary.state, 'declined');
  assert.equal(model.mayDecline, false);
});

test('a refusal that comes late is not shown beside the newest answer', async () => {
  const { jupyter, desk, model } = opened();
  await desk.refresh();
  await settled();
  await jupyter.answer(REQUEST, detail('approved'), 1);
  await jupyter.lose(REQUEST, 0);
  assert.equal(model.problem, '');
});

test('why it can not be fetched is told, and what was known stays', async () => {
  const { jupyter, desk, model } = opened();
  await settled();
  await jupyter.answer(REQUEST, detail());
  await desk.refresh();
  await settled();
  await jupyter.refuse(REQUEST, {
    reason: 'estate-away',
    message: 'The estate worker does not answer.',
    remedy: 'Look at its log.'
  });
  assert.equal(
    model.problem,
    'The estate worker does not answer. Look at its log.'
  );
  assert.equal(model.detail.summary.state, 'waiting');
  await desk.refresh();
  await settled();
  await jupyter.answer(REQUEST, detail());
  assert.equal(model.problem, '');
});

test('closed, it asks no more', async () => {
  const { jupyter, desk, model } = opened();
  await settled();
  const told = firings(model.changed);
  model.dispose();
  await jupyter.answer(REQUEST, detail());
  await desk.refresh();
  await settled();
  assert.equal(jupyter.times(REQUEST), 1);
  assert.equal(told.times, 0);
});
