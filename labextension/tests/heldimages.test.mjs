// Held images: decided at once by keys, sent in turn, taken back, and never more pictures in memory than a dozen.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Desk } from '../src/models/desk.ts';
import { HeldImagesModel } from '../src/models/heldimages.ts';
import { sample } from './contract.mjs';
import { Jupyter, settled } from './jupyter.mjs';

const LIST = 'GET desk/images';
const DECIDE = 'POST desk/images/{image}/decision';
const PICTURE = 'GET desk/images/{image}/picture';
const id = number => String(number).padStart(64, '0');
const held = (number, more = {}) =>
  sample('HeldImage', {
    image: id(number),
    frames: [0],
    texts: [sample('HeldText', { frame: 0, text: 'OKAFOR' })],
    coverable: true,
    decision: null,
    controller: null,
    decided: null,
    final: false,
    ...more
  });
const page = (images, waiting = images.length) => ({
  images,
  waiting,
  decided: 0
});

async function open(images, controllers = ['anna']) {
  const jupyter = new Jupyter();
  jupyter.always('GET desk', {
    status: sample('DeskStatus', { controllers })
  });
  jupyter.always('GET desk/requests', { requests: [] });
  jupyter.always('GET desk/runs', { runs: [] });
  jupyter.always(PICTURE, { picture: 'iVBORw0KGgo=' });
  const desk = new Desk(jupyter.api);
  await desk.begin();
  const model = new HeldImagesModel(desk);
  await settled();
  await jupyter.answer(LIST, page(images));
  if (images.length > 0) {
    await jupyter.answer(LIST, page([], images.length));
  }
  return { jupyter, desk, model };
}

const words = model => model.images.map(({ decision }) => decision);
const sent = jupyter =>
  jupyter.asked
    .filter(({ operation }) => operation === DECIDE)
    .map(({ image, body }) => [Number(image), body.decision]);

test('each decision shows at once and moves on; they are sent in their turn', async () => {
  const { jupyter, model } = await open([held(1), held(2), held(3)]);
  model.decide('release');
  model.decide('refuse');
  assert.deepEqual(words(model), ['release', 'refuse', null]);
  assert.equal(model.index, 2);
  assert.equal(model.waiting, 1);
  await settled();
  assert.deepEqual(sent(jupyter), [[1, 'release']]);
  await jupyter.answer(DECIDE, held(1, { decision: 'release' }));
  assert.deepEqual(sent(jupyter), [
    [1, 'release'],
    [2, 'refuse']
  ]);
  await jupyter.answer(DECIDE, held(2, { decision: 'refuse' }));
  await model.settled();
  assert.equal(model.problem, '');
});

test('undo goes back over all of them, to what was decided before', async () => {
  const { jupyter, model } = await open([
    held(1),
    held(2, { decision: 'refuse' })
  ]);
  jupyter.always(DECIDE, held(9));
  model.decide('release');
  model.choose(1);
  model.decide('release');
  model.undo();
  assert.deepEqual(words(model), ['release', 'refuse']);
  model.undo();
  assert.deepEqual(words(model), [null, 'refuse']);
  assert.equal(model.index, 0);
  assert.equal(model.mayUndo, false);
  model.undo();
  await model.settled();
  assert.deepEqual(sent(jupyter), [
    [1, 'release'],
    [2, 'release'],
    [2, 'refuse'],
    [1, 'withdraw']
  ]);
});

test('an answer that an undo has overtaken does not show', async () => {
  const { jupyter, model } = await open([held(1)]);
  model.decide('release');
  model.undo();
  await settled();
  await jupyter.answer(DECIDE, held(1, { decision: 'release' }));
  assert.deepEqual([words(model), model.waiting], [[null], 1]);
  await jupyter.answer(DECIDE, held(1));
  assert.deepEqual([words(model), model.waiting], [[null], 1]);
});

test('what the agent refuses is taken back here, with its reason', async () => {
  const { jupyter, model } = await open([held(1), held(2)]);
  model.decide('release');
  await settled();
  await jupyter.refuse(DECIDE, {
    reason: 'being-carried-out',
    message: 'A load is carrying it out.',
    remedy: 'Wait.'
  });
  assert.deepEqual(words(model), [null, null]);
  assert.equal(model.problem, 'A load is carrying it out. Wait.');
  assert.equal(model.waiting, 2);
  assert.equal(model.mayUndo, false);
});

test('nothing is decided by nobody, of what a load carries out, or covered in vain', async () => {
  const many = await open([held(1)], ['anna', 'ben']);
  assert.equal(many.model.refusal('release'), 'nobody');
  many.model.decide('release');
  many.desk.person = 'ben';
  assert.equal(many.model.refusal('release'), '');
  const { jupyter, model } = await open([
    held(1, { final: true, decision: 'release' }),
    held(2, { coverable: false })
  ]);
  model.choose(0);
  assert.equal(model.refusal('refuse'), 'final');
  model.choose(1);
  assert.equal(model.refusal('blank'), 'not-coverable');
  model.decide('blank');
  await model.settled();
  assert.deepEqual(sent(many.jupyter).concat(sent(jupyter)), []);
});

test('pages follow each other, and two hundred images leave a dozen pictures', async () => {
  const first = Array.from({ length: 200 }, (_, at) => held(at + 1));
  const jupyter = new Jupyter();
  const made = [];
  const gone = [];
  const { createObjectURL, revokeObjectURL } = URL;
  URL.createObjectURL = blob => {
    assert.equal(blob.type, 'image/png');
    made.push(`blob:${made.length}`);
    return made.at(-1);
  };
  URL.revokeObjectURL = address => gone.push(address);
  try {
    jupyter.always('GET desk', {
      status: sample('DeskStatus', { controllers: ['anna'] })
    });
    jupyter.always('GET desk/requests', { requests: [] });
    jupyter.always('GET desk/runs', { runs: [] });
    jupyter.always(PICTURE, { picture: 'iVBORw0KGgo=' });
    jupyter.always(DECIDE, held(999, { decision: 'release' }));
    const desk = new Desk(jupyter.api);
    await desk.begin();
    const model = new HeldImagesModel(desk);
    await settled();
    await jupyter.answer(LIST, page(first, 201));
    await jupyter.answer(LIST, page([held(201)], 201));
    assert.equal(model.hasNext, true);
    for (let at = 0; at < 200; at += 1) {
      model.decide('release');
      await settled();
    }
    await model.settled();
    assert.equal(model.waiting, 1);
    assert.ok(made.length - gone.length <= 12);
    const turned = model.nextPage();
    await settled();
    await jupyter.answer(LIST, page([held(201)], 1));
    await jupyter.answer(LIST, page([], 1));
    await turned;
    assert.deepEqual([model.page, model.hasNext], [1, false]);
    assert.equal(model.current.image, id(201));
    model.dispose();
    await settled();
    assert.equal(made.length, gone.length);
  } finally {
    Object.assign(URL, { createObjectURL, revokeObjectURL });
  }
});

test('a desk that holds nothing back says so', async () => {
  const { model } = await open([]);
  assert.deepEqual(model.images, []);
  assert.equal(model.current, null);
  model.decide('release');
  model.choose(3);
  assert.equal(model.frame, null);
});
