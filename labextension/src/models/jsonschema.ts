/**
 * A JSON Schema, as far as ours use it.
 */
export interface ISchema {
  $ref?: string;
  $defs?: { [name: string]: ISchema };
  title?: string;
  description?: string;
  type?: string;
  const?: unknown;
  enum?: unknown[];
  default?: unknown;
  properties?: { [name: string]: ISchema };
  additionalProperties?: ISchema | boolean;
  items?: ISchema;
  prefixItems?: ISchema[];
  anyOf?: ISchema[];
  oneOf?: ISchema[];
  allOf?: ISchema[];
}

/**
 * Where a place in a JSON text is: the way to the value there, and what is written at it.
 */
export interface IJsonPlace {
  /**
   * Keys and indexes from the top to the object, or to the value that is there.
   */
  path: (string | number)[];
  /**
   * Whether a key of the object is written here, not a value.
   */
  isKey: boolean;
  /**
   * Where the token begins that is written here; the place itself where nothing is yet.
   */
  start: number;
  /**
   * Keys that the object has before this place.
   */
  before: string[];
}

interface IOpen {
  isObject: boolean;
  key: string | null;
  index: number;
  keys: string[];
}

const TOKEN = /"(?:[^"\\\n]|\\.)*"?|[{}[\],:]|[^\s{}[\],:"]+/g;

/**
 * The place at an offset of a text, which need not be whole JSON: only what is before it is read.
 */
export function placeAt(text: string, offset: number): IJsonPlace {
  const open: IOpen[] = [];
  let start = offset;
  let afterColon = false;
  for (const match of text.matchAll(TOKEN)) {
    const [token] = match;
    if (match.index >= offset) {
      break;
    }
    const isWord = !/^[{}[\],:]$/.test(token);
    if (isWord && match.index + token.length >= offset) {
      start = match.index;
      break;
    }
    const top = open.at(-1);
    if (token === '{' || token === '[') {
      const isObject = token === '{';
      open.push({ isObject, key: null, index: 0, keys: [] });
      afterColon = false;
    } else if (token === '}' || token === ']') {
      open.pop();
      afterColon = false;
    } else if (token === ',' && top) {
      top.index += 1;
      top.key = null;
      afterColon = false;
    } else if (token === ':') {
      afterColon = true;
    } else if (top?.isObject && !afterColon) {
      top.key = unquoted(token);
      top.keys.push(top.key);
    }
  }
  const top = open.at(-1);
  const isKey = top !== undefined && top.isObject && !afterColon;
  const steps = open.map(one => (one.isObject ? (one.key ?? '') : one.index));
  return {
    path: isKey ? steps.slice(0, -1) : steps,
    isKey,
    start,
    before: top?.keys ?? []
  };
}

function unquoted(token: string): string {
  try {
    return String(JSON.parse(token));
  } catch {
    return token.replace(/"/g, '');
  }
}

/**
 * The schemas that a value may have at a path from the top; several where it is one of several.
 */
export function schemasAt(
  root: ISchema,
  path: ReadonlyArray<string | number>
): ISchema[] {
  let found = alternatives(root, root);
  for (const step of path) {
    found = found
      .flatMap(schema => inner(schema, step))
      .flatMap(schema => alternatives(root, schema));
  }
  return found;
}

function inner(schema: ISchema, step: string | number): ISchema[] {
  if (typeof step === 'number') {
    const item = schema.prefixItems?.[step] ?? schema.items;
    return item ? [item] : [];
  }
  const known = schema.properties?.[step];
  if (known) {
    return [known];
  }
  return typeof schema.additionalProperties === 'object'
    ? [schema.additionalProperties]
    : [];
}

/**
 * A schema and what it refers to, without its own alternatives in between; a description goes on with a reference.
 */
function alternatives(root: ISchema, schema: ISchema, depth = 0): ISchema[] {
  if (depth > 8) {
    return [];
  }
  if (schema.$ref !== undefined) {
    const name = schema.$ref.split('/').pop() ?? '';
    const { description } = schema;
    const referred = root.$defs?.[name];
    return referred
      ? alternatives(
          root,
          description ? { ...referred, description } : referred,
          depth + 1
        )
      : [];
  }
  const parts = schema.anyOf ?? schema.oneOf ?? schema.allOf;
  return parts
    ? parts.flatMap(part => alternatives(root, part, depth + 1))
    : [schema];
}

/**
 * The keys that an object may have, each with what it is, shortly.
 */
export function keysOf(
  root: ISchema,
  schemas: ReadonlyArray<ISchema>
): Map<string, string> {
  const keys = new Map<string, string>();
  for (const schema of schemas) {
    for (const [name, value] of Object.entries(schema.properties ?? {})) {
      if (!keys.has(name)) {
        keys.set(name, summary(root, value));
      }
    }
  }
  return keys;
}

/**
 * The values that are known, as JSON: those of a closed list, and a default.
 */
export function valuesOf(schemas: ReadonlyArray<ISchema>): string[] {
  const values = new Set<string>();
  for (const schema of schemas) {
    for (const value of schema.enum ?? []) {
      values.add(JSON.stringify(value));
    }
    if (schema.const !== undefined) {
      values.add(JSON.stringify(schema.const));
    }
    if (schema.type === 'boolean') {
      values.add('true').add('false');
    }
  }
  return [...values];
}

/**
 * What a value is, in one line: the first sentence of its description, else its type.
 */
export function summary(root: ISchema, schema: ISchema): string {
  const all = [schema, ...alternatives(root, schema)];
  const told = all.find(one => one.description)?.description;
  const types = [
    ...new Set(all.map(one => one.type).filter(type => type !== undefined))
  ];
  const first = told?.split('\n')[0].replace(/`/g, '');
  return first ?? types.filter(type => type !== 'null').join(', ');
}
