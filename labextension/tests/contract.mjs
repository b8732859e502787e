// What the server may say, by openapi.json: documents to test with are made from its schemas, and held to them.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

import Ajv from 'ajv/dist/2020.js';

const openapi = JSON.parse(
  readFileSync(new URL('../openapi.json', import.meta.url), 'utf8')
);
const { schemas } = openapi.components;
const ajv = new Ajv.default({ strict: false, validateFormats: false });
ajv.addSchema(openapi, 'contract');

const TEXTS = ['a', 'a'.repeat(32), 'a'.repeat(64)];

/**
 * A document of a named schema with the least in it, but for what is given.
 */
export function sample(name, given = {}) {
  return held(name, { ...least(schemas[name]), ...given });
}

/**
 * The same document, if the schema allows it.
 */
export function held(name, document) {
  return heldTo(`#/components/schemas/${name}`, document);
}

/**
 * What the endpoint "GET runs/{run}" takes and gives.
 */
export function endpointOf(operation) {
  const [method, path] = operation.split(' ');
  const place = `#/paths/${escaped(`/flipnb/${path}`)}/${method.toLowerCase()}`;
  const found = openapi.paths[`/flipnb/${path}`]?.[method.toLowerCase()];
  assert.ok(found, `there is no endpoint ${operation}`);
  const media = 'content/application~1json/schema';
  return {
    asked: body =>
      body === undefined || heldTo(`${place}/requestBody/${media}`, body),
    answered: document => heldTo(`${place}/responses/200/${media}`, document)
  };
}

/**
 * The endpoint that a request is to, with the values in its path: of two the one that has fewer.
 */
export function endpointAt(method, path) {
  const found = Object.entries(openapi.paths)
    .filter(([, methods]) => method.toLowerCase() in methods)
    .map(([template]) => ({ template, values: valuesIn(template, path) }))
    .filter(({ values }) => values !== null)
    .sort(
      (a, b) => Object.keys(a.values).length - Object.keys(b.values).length
    );
  assert.ok(found.length > 0, `there is no endpoint ${method} ${path}`);
  const { template, values } = found[0];
  return { operation: `${method} ${template.replace('/flipnb/', '')}`, values };
}

function valuesIn(template, path) {
  const pattern = template.replace(/\{(\w+)\}/g, '(?<$1>[^/]+)');
  const groups = new RegExp(`^${pattern}$`).exec(path)?.groups;
  return groups === undefined && pattern !== path ? null : { ...groups };
}

function heldTo(place, document) {
  const validate = ajv.getSchema(`contract${place}`);
  assert.ok(
    validate(document),
    `${place} does not allow ${ajv.errorsText(validate.errors)}`
  );
  return document;
}

function least(schema) {
  if (schema.$ref) {
    return least(schemas[schema.$ref.split('/').pop()]);
  }
  if ('default' in schema) {
    return schema.default;
  }
  if ('const' in schema || schema.enum) {
    return schema.const ?? schema.enum[0];
  }
  if (schema.anyOf || schema.oneOf) {
    const choices = schema.anyOf ?? schema.oneOf;
    return least(choices.find(({ type }) => type === 'null') ?? choices[0]);
  }
  switch (schema.type) {
    case 'object':
      return Object.fromEntries(
        (schema.required ?? []).map(name => [
          name,
          least(schema.properties[name])
        ])
      );
    case 'array':
      return Array.from({ length: schema.minItems ?? 0 }, (_, at) =>
        least(schema.prefixItems?.[at] ?? schema.items)
      );
    case 'string':
      return schema.format === 'date-time'
        ? '2026-11-30T12:00:00Z'
        : TEXTS.find(text => new RegExp(schema.pattern ?? '').test(text));
    case 'boolean':
      return false;
    case 'null':
      return null;
    default:
      return schema.minimum ?? (schema.exclusiveMinimum ?? 0) + 1;
  }
}

function escaped(path) {
  return encodeURIComponent(path.replace(/~/g, '~0').replace(/\//g, '~1'));
}
