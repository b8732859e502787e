// The desk: lists fetched once, again at each change, and never two times at once.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Desk } from '../src/models/desk.ts';
import { sample } from './contract.mjs';
import { firings, Jupyter, settled } from './jupyter.mjs';

const EVENT = 'https://schema.jupyter.org/flipnb/desk/v1';
const BUNDLE = 'b'.repeat(64);
const RUN = 'c'.repeat(32);
const here = { status: sample('DeskStatus', { title: 'Cleveland' }) };
const requests = (...titles) => ({
  requests: titles.map(title => sample('RequestSummary', { title }))
});
const runs = (...titles) => ({
  runs: titles.map(title => sample('DeskRun', { title }))
});
const changed = (requests, runs = '1', agent = true) =>
  sample('DeskChange', { requests, runs, audit: '1', agent });
const titles = list => list.map(({ title }) => title);

function quiet() {
  const jupyter = new Jupyter();
  jupyter.always('GET desk', here);
  jupyter.always('GET desk/requests', requests('first'));
  jupyter.always('GET desk/runs', runs('run'));
  return { jupyter, desk: new Desk(jupyter.api) };
}

test('without an enclave there is no desk, and nothing else is asked', async () => {
  const jupyter = new Jupyter();
  jupyter.always('GET desk', { status: null });
  const desk = new Desk(jupyter.api);
  assert.equal(await desk.begin(), false);
  assert.equal(jupyter.asked.length, 1);
  assert.equal(desk.problem, '');
});

test('in an enclave the lists are there when it has begun; screens hear of it once', async () => {
  const { jupyter, desk } = quiet();
  const told = firings(desk.changed);
  assert.equal(await desk.begin(), true);
  assert.equal(desk.status.title, 'Cleveland');
  assert.deepEqual(titles(desk.requests), ['first']);
  assert.deepEqual(titles(desk.runs), ['run']);
  assert.equal(told.times, 1);
  const [asked] = jupyter.asked.filter(
    ({ operation }) => operation === 'GET desk/requests'
  );
  assert.equal(asked.decided, 'true');
});

test('a desk that can not be asked is there, with the reason', async () => {
  const jupyter = new Jupyter();
  const desk = new Desk(jupyter.api);
  const begun = desk.begin();
  await settled();
  await jupyter.refuse('GET desk', {
    reason: 'agent-away',
    message: 'The agent does not answer.',
    remedy: 'Start it.'
  });
  assert.equal(await begun, true);
  assert.equal(desk.problem, 'The agent does not answer. Start it.');
  assert.equal(desk.status, null);
});

test('a server without words of its own is told by its status', async () => {
  const jupyter = new Jupyter();
  const desk = new Desk(jupyter.api);
  void desk.refresh();
  await settled();
  await jupyter.crash('GET desk', 502, '<html>Bad gateway</html>');
  assert.equal(desk.problem, 'The Jupyter server answered with status 502.');
});

test('what was known stays while the agent is away, and the reason goes when it is back', async () => {
  const { jupyter, desk } = quiet();
  await desk.begin();
  jupyter.never('GET desk/runs');
  void desk.refresh();
  await settled();
  await jupyter.lose('GET desk/runs');
  assert.notEqual(desk.problem, '');
  assert.deepEqual(titles(desk.requests), ['first']);
  assert.equal(desk.status.title, 'Cleveland');
  void desk.refresh();
  await settled();
  await jupyter.answer('GET desk/runs', runs());
  assert.equal(desk.problem, '');
  assert.deepEqual(desk.runs, []);
});

test('any number of changes during a fetch make one more, and one signal', async () => {
  const jupyter = new Jupyter();
  const desk = new Desk(jupyter.api);
  const told = firings(desk.changed);
  void desk.refresh();
  for (const requests of ['1', '2', '3']) {
    desk.take(EVENT, changed(requests));
  }
  await settled();
  assert.equal(jupyter.times('GET desk'), 1);
  await jupyter.answer('GET desk', here);
  await jupyter.answer('GET desk/requests', requests('before'));
  await jupyter.answer('GET desk/runs', runs());
  assert.equal(jupyter.times('GET desk'), 2);
  assert.equal(told.times, 0);
  await jupyter.answer('GET desk', here);
  await jupyter.answer('GET desk/requests', requests('after'));
  await jupyter.answer('GET desk/runs', runs());
  assert.equal(jupyter.times('GET desk'), 2);
  assert.equal(told.times, 1);
  assert.deepEqual(titles(desk.requests), ['after']);
});

test('a run’s progress has the runs fetched, and no request', async () => {
  const { jupyter, desk } = quiet();
  await desk.begin();
  desk.take(EVENT, changed('1'));
  await settled();
  const before = jupyter.times('GET desk/requests');
  const told = firings(desk.changed);
  const ofRequests = firings(desk.requestsChanged);
  jupyter.always('GET desk/runs', runs('run', 'next'));
  desk.take(EVENT, changed('1', '2'));
  await settled();
  assert.deepEqual(titles(desk.runs), ['run', 'next']);
  assert.equal(jupyter.times('GET desk/requests'), before);
  assert.deepEqual([told.times, ofRequests.times], [1, 0]);
  desk.take(EVENT, changed('2', '2'));
  await settled();
  assert.equal(jupyter.times('GET desk/requests'), before + 1);
  assert.deepEqual([told.times, ofRequests.times], [2, 1]);
});

test('requests that could not be fetched are fetched at the next change, whatever it is', async () => {
  const { jupyter, desk } = quiet();
  await desk.begin();
  jupyter.never('GET desk/requests');
  desk.take(EVENT, changed('5'));
  await settled();
  await jupyter.lose('GET desk/requests');
  desk.take(EVENT, changed('5', '2'));
  await settled();
  await jupyter.answer('GET desk/requests', requests('new'));
  assert.deepEqual(titles(desk.requests), ['new']);
});

test('an agent that was away has everything fetched when it is back', async () => {
  const { jupyter, desk } = quiet();
  await desk.begin();
  desk.take(EVENT, changed('1'));
  await settled();
  const before = jupyter.times('GET desk/requests');
  desk.take(EVENT, changed('1', '1', false));
  await settled();
  assert.equal(jupyter.times('GET desk/requests'), before + 1);
});

test('events of others are nothing to it', async () => {
  const { jupyter, desk } = quiet();
  desk.take('https://schema.jupyter.org/flipnb/hub/v1', changed('9'));
  desk.take('https://example.org/flipnb/desk/v1', changed('9'));
  await settled();
  assert.deepEqual(jupyter.asked, []);
});

test('a decision is sent as it was typed, then the lists are fetched', async () => {
  const { jupyter, desk } = quiet();
  const reason = '<img src=x onerror=alert(1)> & "no" %1';
  const declined = desk.decline(BUNDLE, reason);
  await settled();
  assert.equal(jupyter.times('GET desk'), 0);
  await jupyter.answer('POST desk/requests/{bundle}/decline', {});
  await declined;
  assert.deepEqual(jupyter.asked[0].body, { reason });
  assert.equal(jupyter.asked[0].bundle, BUNDLE);
  assert.equal(jupyter.times('GET desk/requests'), 1);
});

test('a run that was stopped here has the lists fetched', async () => {
  const { jupyter, desk } = quiet();
  const stopped = desk.stop(RUN);
  await settled();
  await jupyter.answer('POST desk/runs/{run}/stop', {});
  await stopped;
  assert.equal(jupyter.asked[0].run, RUN);
  assert.equal(jupyter.times('GET desk/runs'), 1);
});

test('a decision that was refused is the caller’s to tell; nothing is fetched', async () => {
  const { jupyter, desk } = quiet();
  const told = assert.rejects(desk.stop(RUN), {
    message: 'It has ended.',
    reason: 'ended'
  });
  await settled();
  await jupyter.refuse('POST desk/runs/{run}/stop', {
    reason: 'ended',
    message: 'It has ended.',
    remedy: ''
  });
  await told;
  assert.equal(jupyter.times('GET desk'), 0);
  assert.equal(desk.problem, '');
});
