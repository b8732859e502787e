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

function opened() {
  const jupyter = new Jupyter();
  jupyter.always('GET desk', { status: null });
  const desk = new Desk(jupyter.api);
  return { jupyter, desk, model: new RequestModel(BUNDLE, desk) };
}

test('it is approved only after what is new and what would leave were opened', async () => {
  const { jupyter, model } = opened();
  await settled();
  assert.equal(model.mayApprove, false);
  assert.equal(model.mayDecline, false);
  await jupyter.answer(REQUEST, detail());
  assert.equal(jupyter.asked[0].bundle, BUNDLE);
  assert.equal(model.mayDecline, true);
  assert.equal(model.mayApprove, false);
  const told = firings(model.changed);
  model.look('cohort');
  assert.equal(model.mayApprove, false);
  model.look('leaves');
  assert.equal(model.mayApprove, true);
  assert.equal(told.times, 2);
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
    const { jupyter, model } = opened();
    await settled();
    model.look('leaves');
    await jupyter.answer(REQUEST, detail(state, given));
    assert.equal(model.mayApprove, may, state);
    assert.equal(model.mayDecline, mayDecline, state);
  }
});

test('it is fetched again at each change of the desk; what was opened stays opened', async () => {
  const { jupyter, desk, model } = opened();
  await settled();
  await jupyter.answer(REQUEST, detail());
  model.look('leaves');
  const told = firings(model.changed);
  await desk.refresh();
  await settled();
  assert.equal(jupyter.times(REQUEST), 2);
  await jupyter.answer(REQUEST, detail('declined'));
  assert.equal(told.times, 1);
  assert.equal(model.detail.summary.state, 'declined');
  await desk.refresh();
  await settled();
  await jupyter.answer(REQUEST, detail('approved'));
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
