// The Jupyter server, as the models see it through the real client: it answers when the test says, in any order.
import assert from 'node:assert/strict';

import { ServerConnection } from '@jupyterlab/services';

import { FlipApi } from '../src/api.ts';
import { endpointAt, endpointOf, held } from './contract.mjs';

const BASE = 'http://localhost/lab/';

export class Jupyter {
  api = new FlipApi(
    ServerConnection.makeSettings({
      baseUrl: BASE,
      fetch: request => this._take(request)
    })
  );

  /**
   * Every request so far: its endpoint, the values in its path and query, its body.
   */
  asked = [];

  /**
   * Answer every request to an endpoint at once, from now on.
   */
  always(operation, document) {
    endpointOf(operation).answered(document);
    this._standing.set(operation, document);
  }

  /**
   * From now on requests to an endpoint wait again.
   */
  never(operation) {
    this._standing.delete(operation);
  }

  /**
   * How often an endpoint was asked.
   */
  times(operation) {
    return this.asked.filter(asked => asked.operation === operation).length;
  }

  /**
   * Answer a request that waits, the oldest one to the endpoint or that with a number; then let the models take it on.
   */
  async answer(operation, document, index = 0) {
    endpointOf(operation).answered(document);
    this._waiting(operation, index).resolve(json(200, document));
    await settled();
  }

  /**
   * Refuse a request that waits, as the server does.
   */
  async refuse(operation, refusal, index = 0) {
    held('Refusal', refusal);
    this._waiting(operation, index).resolve(json(409, refusal));
    await settled();
  }

  /**
   * Answer as a proxy does, that knows nothing of refusals.
   */
  async crash(operation, status, text) {
    this._waiting(operation, 0).resolve(new Response(text, { status }));
    await settled();
  }

  /**
   * Let a request end as it does where the server is away.
   */
  async lose(operation, index = 0) {
    this._waiting(operation, index).reject(new TypeError('Failed to fetch'));
    await settled();
  }

  _waiting(operation, index) {
    const found = this._open.filter(open => open.operation === operation);
    assert.ok(found.length > index, `nobody waits for ${operation}`);
    this._open.splice(this._open.indexOf(found[index]), 1);
    return found[index];
  }

  async _take(request) {
    const { pathname, searchParams } = new URL(request.url);
    const path = `/${pathname.slice(new URL(BASE).pathname.length)}`;
    const { operation, values } = endpointAt(request.method, path);
    const text = await request.text();
    const body = text === '' ? undefined : JSON.parse(text);
    endpointOf(operation).asked(body);
    // What has no value is there against caches.
    const query = Object.fromEntries(
      [...searchParams].filter(([, value]) => value !== '')
    );
    this.asked.push({ operation, ...values, ...query, body });
    if (this._standing.has(operation)) {
      return json(200, this._standing.get(operation));
    }
    return new Promise((resolve, reject) => {
      this._open.push({ operation, resolve, reject });
    });
  }

  _open = [];
  _standing = new Map();
}

/**
 * Let everything go on that can go on without the server and without a timer.
 */
export async function settled() {
  for (let turn = 0; turn < 8; turn++) {
    await new Promise(resolve => setImmediate(resolve));
  }
}

/**
 * How often a signal fires.
 */
export function firings(signal) {
  const told = { times: 0 };
  signal.connect(() => {
    told.times += 1;
  });
  return told;
}

function json(status, document) {
  return new Response(JSON.stringify(document), { status });
}
